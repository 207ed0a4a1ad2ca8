/** Opening files that somebody else may have put there: no link is followed, no pipe blocks, nothing but files passes. */
import { type BigIntStats, constants, type Stats } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { hasCode } from '../../lib/system-error.ts';

export interface OpenedFile {
  /** The caller closes it. */
  readonly handle: FileHandle;
  readonly stats: BigIntStats;
}

/** `irregular`: a link, directory, pipe, socket or device has the name. */
export type OpenOutcome = OpenedFile | 'absent' | 'irregular';

const safely = constants.O_NOFOLLOW | constants.O_NONBLOCK;

/** Opens for reading, or for reading and writing. Rejects with the system's error for everything but absence. */
export async function openRegular(path: string, access: 'read' | 'write' = 'read'): Promise<OpenOutcome> {
  let handle: FileHandle;
  try {
    handle = await open(path, safely | (access === 'read' ? constants.O_RDONLY : constants.O_RDWR));
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return 'absent';
    // A symbolic link; a socket, or a pipe nobody reads; a directory opened for writing.
    if (hasCode(error, 'ELOOP', 'ENXIO', 'EISDIR')) return 'irregular';
    throw error;
  }
  try {
    const stats = await handle.stat({ bigint: true });
    if (stats.isFile()) return { handle, stats };
  } catch (error) {
    await handle.close();
    throw error;
  }
  await handle.close();
  return 'irregular';
}

/** An index.json of half a million tags. */
export const maxIndexBytes = 256 * 1024 * 1024;

/** The content of a small file of ours; undefined when it is absent, irregular, or larger than `maxBytes`. */
export async function readRegular(path: string, maxBytes: number): Promise<Uint8Array | undefined> {
  const opened = await openRegular(path);
  if (opened === 'absent' || opened === 'irregular') return undefined;
  try {
    return opened.stats.size > BigInt(maxBytes) ? undefined : await opened.handle.readFile();
  } finally {
    await opened.handle.close();
  }
}

/** Bytes on disk, which sparse files and small blobs have less and more of than their size says. */
export function allocatedBytesOf(stats: Pick<Stats | BigIntStats, 'blocks'>): number {
  return Number(stats.blocks) * 512;
}
