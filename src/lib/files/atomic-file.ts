/** Replacing a small file so that a reader, and a crash at any moment, sees the old or the new content, never a mixture. */
import { randomBytes } from 'node:crypto';
import { open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';

export interface AtomicFileOptions {
  /** Also survive a power loss: sync the file before the rename and the directory after it. Default true. */
  readonly fsync?: boolean;
  /** Permissions of the new file, before the umask. Default 0o644. */
  readonly mode?: number;
}

/**
 * Writes `bytes` under `path`. Rejects with the file system's error, or with that of the iterable; then the old content stands and no temporary file
 * is left. Temporary names end in `.tmp` and lie in the same directory, where a crash may leave one.
 */
export async function writeFileAtomic(
  path: string,
  bytes: Uint8Array | string | AsyncIterable<string>,
  { fsync = true, mode = 0o644 }: AtomicFileOptions = {},
): Promise<void> {
  const temporary = `${path}.${randomBytes(6).toString('hex')}.tmp`;
  try {
    // wx: neither an old leftover nor a planted link is ever written through.
    await using file = await open(temporary, 'wx', mode);
    await file.writeFile(bytes);
    if (fsync) await file.sync();
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  try {
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  if (fsync) await syncDirectory(dirname(path));
}

/** Makes the names in a directory durable: a file's own fsync does not cover the entry that points to it. */
export async function syncDirectory(path: string): Promise<void> {
  await using directory = await open(path, 'r');
  await directory.sync();
}
