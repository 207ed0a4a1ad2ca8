/**
 * The steps that turn a proved part file into a blob, in the only order that survives a kill and a power loss at any
 * instant: content durable, then the name, then the name durable.
 */
import type { BigIntStats } from 'node:fs';
import { type FileHandle, link, lstat, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { syncDirectory } from '../../lib/files/atomic-file.ts';
import type { Digest } from '../../oci/digest.ts';
import { StoreError } from '../contract/blob-store.ts';
import { type FileStamp, stampOf } from '../contract/file-stamp.ts';
import { hasCode } from '../../lib/system-error.ts';
import { blobPath, partPath, type StorePaths } from '../files/paths.ts';
import { allocatedBytesOf, openRegular } from '../files/regular-file.ts';
import { noLinkCodes } from '../root/abilities.ts';
import { makeOwnDirectory, removeName } from '../root/tree.ts';

export interface CommitRequest {
  readonly paths: StorePaths;
  readonly digest: Digest;
  /** Name of the part file; no descriptor is writing to it any more. */
  readonly name: string;
  readonly handle: FileHandle;
  /** Whether the file under the digest's name is known to be right, and can be read. */
  readonly isProved: (existing: BigIntStats) => boolean;
}

export interface Commit {
  /** `existed`: the same blob was there, proved, and stays. */
  readonly outcome: 'stored' | 'replaced' | 'existed';
  /** Of the part file. */
  readonly allocatedBytes: number;
  /** Of the part file, with its last name. */
  readonly stamp: FileStamp;
}

/**
 * The ingest's own name goes last: a kill before leaves one file with two names, which recovery knows. Rejects with the
 * system's error; then the digest has no name that was made here, and the ingest's is the caller's.
 */
export async function commitIngest({ paths, digest, name, handle, isProved }: CommitRequest): Promise<Commit> {
  const part = partPath(paths, name);
  const blob = blobPath(paths, digest);
  // 1. Read-only before it has its name, durable before anything points to it. A failed fsync is final: the kernel may
  //    have dropped the pages, and a second fsync would succeed without them.
  //    The mode is a courtesy to whoever looks into the root: CIFS, vfat and some of FUSE have none to set.
  await handle.chmod(0o444).catch(() => undefined);
  await handle.sync();
  // The last question that can fail comes before the name, and only now the file system knows its blocks for certain.
  const allocatedBytes = allocatedBytesOf(await handle.stat());
  // 2. link, not rename: it cannot damage a good blob.
  const outcome = await linkOrReplace(part, blob, isProved);
  if (outcome === 'existed') return { outcome, allocatedBytes, stamp: stampOf(await handle.stat({ bigint: true })) };
  try {
    // 3. The name itself. Until this has returned, the blob may vanish with the power.
    await syncDirectory(dirname(blob));
    // 4. Losing a name changes a file's change time, so the ingest's goes before the stamp is taken.
    await removeName(part);
    return { outcome, allocatedBytes, stamp: stampOf(await handle.stat({ bigint: true })) };
  } catch (error) {
    await rm(blob, { force: true });
    throw error;
  }
}

/**
 * For a blob that was found and then proved: after an unclean stop neither its bytes, which may have been hashed from
 * memory, nor its name are known to be durable. Resolves what its row needs, or undefined when it is gone. Rejects with
 * StoreError `mismatch` when the file has another size than was proved, and with the system's error.
 */
export async function makeDurable(
  blob: string,
  sizeBytes: number,
): Promise<Pick<Commit, 'allocatedBytes' | 'stamp'> | undefined> {
  const opened = await openRegular(blob);
  if (opened === 'absent' || opened === 'irregular') return undefined;
  const { handle, stats } = opened;
  try {
    if (stats.size !== BigInt(sizeBytes)) {
      throw new StoreError('mismatch', `the file has ${stats.size} bytes, ${sizeBytes} were proved`);
    }
    // What another user has put there (rsync, a restored backup) is not ours to change; its bytes are right all the same.
    await handle.chmod(0o444).catch(() => undefined);
    await handle.sync();
    await syncDirectory(dirname(blob));
    return { allocatedBytes: allocatedBytesOf(stats), stamp: stampOf(await handle.stat({ bigint: true })) };
  } finally {
    await handle.close();
  }
}

async function linkOrReplace(
  part: string,
  blob: string,
  isProved: (existing: BigIntStats) => boolean,
): Promise<Commit['outcome']> {
  try {
    await linkMakingDirectory(part, blob);
    return 'stored';
  } catch (error) {
    if (hasCode(error, ...noLinkCodes)) {
      // No hard links here. Nobody else commits to this root, and these bytes are proved, so a rename harms nothing.
      if (!(await isThere(blob))) {
        await rename(part, blob);
        return 'stored';
      }
    } else if (!hasCode(error, 'EEXIST')) throw error;
  }
  const existing = await lstat(blob, { bigint: true });
  if (existing.isFile() && isProved(existing)) return 'existed';
  // Nobody vouches for what is there. A directory cannot be renamed over; nothing of ours is one.
  if (existing.isDirectory()) await rm(blob, { recursive: true });
  await rename(part, blob);
  return 'replaced';
}

async function isThere(path: string): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return false;
    throw error;
  }
}

/** Operators empty a cache with `rm -rf blobs/*`, also while it runs. */
async function linkMakingDirectory(part: string, blob: string): Promise<void> {
  try {
    await link(part, blob);
  } catch (error) {
    if (!hasCode(error, 'ENOENT')) throw error;
    await makeOwnDirectory(dirname(dirname(blob)));
    await makeOwnDirectory(dirname(blob));
    await syncDirectory(dirname(dirname(blob)));
    await link(part, blob);
  }
}
