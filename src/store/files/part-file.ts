/**
 * A part file as a download worker sees it: synchronous, by path, with descriptors of its own. The ingest that owns the file
 * lives on another thread and does not know these descriptors, so nothing here may stay open for writing when it is told
 * that a download worker has stopped.
 */
import { closeSync, constants, fstatSync, openSync, readSync, writeSync } from 'node:fs';
import { StoreError } from '../contract/blob-store.ts';
import type { FileIdentity } from './shared-between-threads.ts';

/** Opens for writing; throws the system's error. */
export class PartFileWriter {
  readonly #fd: number;
  #isOpen = true;

  constructor(path: string) {
    this.#fd = openSync(path, constants.O_WRONLY | constants.O_NOFOLLOW);
  }

  /** All of it, or it throws the system's error or StoreError `sick`. */
  write(bytes: Uint8Array, position: number): void {
    let done = 0;
    while (done < bytes.byteLength) {
      const count = writeSync(this.#fd, bytes, done, bytes.byteLength - done, position + done);
      if (count === 0) throw new StoreError('sick', 'the disk takes no bytes');
      done += count;
    }
  }

  /** Idempotent. */
  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    closeSync(this.#fd);
  }
}

/** Opens for reading; throws the system's error. */
export class PartFileReader {
  readonly #fd: number;

  /** With `place`, throws StoreError `sick` when another file has that name. */
  constructor(path: string, place?: FileIdentity) {
    this.#fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW);
    if (place === undefined) return;
    const { dev, ino } = fstatSync(this.#fd, { bigint: true });
    if (dev === place.device && ino === place.inode) return;
    this.close();
    throw new StoreError('sick', 'another file has taken the name of the one that is read');
  }

  /** The bytes read; 0 at the end of the file. */
  read(buffer: Uint8Array, length: number, position: number): number {
    return readSync(this.#fd, buffer, 0, length, position);
  }

  close(): void {
    closeSync(this.#fd);
  }
}
