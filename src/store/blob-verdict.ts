/** What a file under a digest's name is, judged by one stat and the catalog's row; its bytes are not read. */
import type { Stats } from 'node:fs';
import { lstat } from 'node:fs/promises';
import { type Digest, digestOf } from '../oci/digest.ts';
import type { SealedBlob } from './catalog.ts';
import { hasCode, storeError } from './io-errors.ts';
import { blobPath, type StorePaths } from './paths.ts';
import { type CleanStop, wasStoredAt } from './root.ts';

export type Verdict =
  | { readonly kind: 'good'; readonly isSuspect: boolean }
  /** It cannot be the blob, whatever its bytes are. */
  | { readonly kind: 'bad'; readonly reason: string };

const emptyDigests: ReadonlySet<Digest> = new Set([digestOf('', 'sha256'), digestOf('', 'sha512')]);

export function judge(
  digest: Digest,
  stats: Stats,
  row: Pick<SealedBlob, 'sizeBytes' | 'isSuspect'> | undefined,
  cleanStop: CleanStop | undefined,
): Verdict {
  if (!stats.isFile()) return { kind: 'bad', reason: 'not a regular file' };
  // What a power loss makes of a file that was never synced, whoever put it there.
  if (stats.size === 0 && !emptyDigests.has(digest)) return { kind: 'bad', reason: 'it has no bytes' };
  if (row === undefined) return { kind: 'good', isSuspect: !wasStoredAt(cleanStop, stats) };
  if (row.sizeBytes === stats.size) return { kind: 'good', isSuspect: row.isSuspect };
  return { kind: 'bad', reason: `it has ${stats.size} bytes, ${row.sizeBytes} were stored` };
}

/** The file under the digest's name, not followed if it is a link. Rejects with StoreError `sick`. */
export async function lookAtBlob(paths: StorePaths, digest: Digest): Promise<Stats | undefined> {
  try {
    return await lstat(blobPath(paths, digest));
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined;
    throw storeError(error, `looking for ${digest}`);
  }
}
