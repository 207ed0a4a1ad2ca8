/**
 * Handing an open file to another thread of this process without handing over its descriptor: the number could stand for
 * another file by the time it is used, and closing it is its owner's business. The other thread opens the same file anew
 * through `/proc/self/fd` (Linux), whatever names it has by then, and makes sure that it is the one that was meant.
 */
import { fstatSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { hasCode } from '../../lib/system-error.ts';
import { storeError } from './errors.ts';

/** Plain values; good for as long as the descriptor that it was made of stays open. */
export interface FileIdentity {
  readonly path: string;
  readonly device: bigint;
  readonly inode: bigint;
}

/** A descriptor of the thread that opened it. Whoever opens it closes it once. */
export interface IdentifiedFile {
  readonly fd: number;
  read(buffer: Uint8Array, offset: number, length: number, position: number): Promise<number>;
  /** Idempotent. */
  close(): void;
}

/** Where another thread finds the file of an open descriptor. Throws what fstat throws. */
export function identityOf(fd: number): FileIdentity {
  const { dev, ino } = fstatSync(fd, { bigint: true });
  return { path: `/proc/self/fd/${fd}`, device: dev, inode: ino };
}

/** Undefined when another file is there by now, or none. Rejects with StoreError when it cannot be opened. */
export async function openIdentified({ path, device, inode }: FileIdentity): Promise<IdentifiedFile | undefined> {
  let handle;
  try {
    handle = await open(path, 'r');
    const { dev, ino } = await handle.stat({ bigint: true });
    if (dev !== device || ino !== inode) {
      await handle.close();
      return undefined;
    }
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined;
    throw storeError(error, 'opening a file of another thread');
  }
  const opened = handle;
  let isOpen = true;
  return {
    fd: opened.fd,
    read: async (buffer, offset, length, position) => (await opened.read(buffer, offset, length, position)).bytesRead,
    close() {
      if (!isOpen) return;
      isOpen = false;
      // Owned here: a read-only descriptor, and nobody is left to tell about a failure.
      void opened.close().catch(() => undefined);
    },
  };
}
