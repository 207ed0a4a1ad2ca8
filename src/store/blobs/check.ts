/** What a file under a digest's name is, judged by one stat and the catalog's row; its bytes are not read. */
import type { BigIntStats } from 'node:fs';
import { lstat } from 'node:fs/promises';
import { type Digest, digestOf } from '../../oci/digest.ts';
import type { BlobRow } from '../contract/metadata.ts';
import { isSameFile, stampOf } from '../contract/file-stamp.ts';
import { hasCode } from '../../lib/system-error.ts';
import { storeError } from '../files/errors.ts';
import { blobPath, type StorePaths } from '../files/paths.ts';

/**
 * What is to be done about the row of a good file. `absent`: it gets one · `old`: an older weir wrote it, it gets the
 * file's stamp · `changed`: it vouches for another file, and has to stop · `moved`: it vouches for these bytes in another
 * file, or at another time: proving them again renews it.
 */
export type RowState = 'current' | 'absent' | 'old' | 'changed' | 'moved';

export type Verdict =
  | { readonly kind: 'good'; readonly isSuspect: boolean; readonly row: RowState }
  /** It cannot be the blob, whatever its bytes are. */
  | { readonly kind: 'bad'; readonly reason: string };

export type JudgedRow = Pick<BlobRow, 'sizeBytes' | 'isSuspect' | 'stamp' | 'lastUsedMs'>;

const emptyDigests: ReadonlySet<Digest> = new Set([digestOf('', 'sha256'), digestOf('', 'sha512')]);

/** An older weir wrote the row just before the ingest's name went, which changed the file's change time once more. */
const oldRowLagMs = 60_000;

/** `stoppedAtMs`: of the last orderly stop, if the last stop was one. Counts for rows of older weirs only. */
export function judge(
  digest: Digest,
  stats: BigIntStats,
  row: JudgedRow | undefined,
  stoppedAtMs: number | undefined,
): Verdict {
  if (!stats.isFile()) return { kind: 'bad', reason: 'not a regular file' };
  // What a power loss makes of a file that was never synced, whoever put it there.
  if (stats.size === 0n && !emptyDigests.has(digest)) return { kind: 'bad', reason: 'it has no bytes' };
  if (row === undefined) return { kind: 'good', isSuspect: true, row: 'absent' };
  const isSameSize = BigInt(row.sizeBytes) === stats.size;
  if (row.isSuspect) return { kind: 'good', isSuspect: true, row: isSameSize ? 'current' : 'changed' };
  if (!isSameSize) return { kind: 'bad', reason: `it has ${stats.size} bytes, ${row.sizeBytes} were stored` };
  if (row.stamp === undefined) {
    const isOlder = Number(stats.ctimeMs) <= Math.max(stoppedAtMs ?? 0, row.lastUsedMs + oldRowLagMs);
    return { kind: 'good', isSuspect: !isOlder, row: isOlder ? 'old' : 'changed' };
  }
  if (row.stamp.mtimeNs !== stats.mtimeNs) return { kind: 'good', isSuspect: true, row: 'changed' };
  return { kind: 'good', isSuspect: false, row: isSameFile(row.stamp, stampOf(stats)) ? 'current' : 'moved' };
}

/** The file under the digest's name, not followed if it is a link. Rejects with StoreError `sick`. */
export async function lookAtBlob(paths: StorePaths, digest: Digest): Promise<BigIntStats | undefined> {
  try {
    return await lstat(blobPath(paths, digest), { bigint: true });
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined;
    throw storeError(error, `looking for ${digest}`);
  }
}
