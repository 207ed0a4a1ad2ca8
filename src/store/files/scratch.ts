/**
 * Files without a name, for bytes that lie in no file of the store and that a client may take long to read: they go with
 * their last reader, and with the process.
 */
import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, open, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { type PositionalReader, StoreError } from '../contract/blob-store.ts';
import { hasCode } from '../../lib/system-error.ts';
import { storeError } from './errors.ts';
import { writeAll } from './write-all.ts';

/** Linux: a file that never has a name. Node does not know the constant, which has the one for directories in it. */
const unnamed = 0o20000000 | constants.O_DIRECTORY;
/** All of them together: nothing counts them as part of the cache. */
const maxScratchBytes = 1024 ** 3;

export interface ScratchFile extends PositionalReader {
  readonly sizeBytes: number;
  /** Whoever wrote it closes it once. Never rejects. */
  close(): Promise<void>;
}

export class ScratchFiles {
  readonly #directory: string;
  readonly #maxBytes: number;
  #bytes = 0;

  constructor(directory: string, maxBytes: number = maxScratchBytes) {
    this.#directory = directory;
    this.#maxBytes = maxBytes;
  }

  /** Rejects with StoreError `full` or `sick`. */
  async write(bytes: Uint8Array): Promise<ScratchFile> {
    const { byteLength: sizeBytes } = bytes;
    if (this.#bytes + sizeBytes > this.#maxBytes) throw new StoreError('full', 'too many answers are under way');
    this.#bytes += sizeBytes;
    let file: FileHandle | undefined;
    try {
      file = await this.#open();
      await writeAll(file, [bytes], 0);
    } catch (error) {
      this.#bytes -= sizeBytes;
      await file?.close().catch(() => undefined);
      throw storeError(error, 'writing a file without a name');
    }
    const opened = file;
    return {
      sizeBytes,
      fd: opened.fd,
      read: async (buffer, offset, length, position) => (await opened.read(buffer, offset, length, position)).bytesRead,
      close: async () => {
        this.#bytes -= sizeBytes;
        await opened.close().catch(() => undefined);
      },
    };
  }

  async #open(): Promise<FileHandle> {
    if (process.platform === 'linux') {
      try {
        return await open(this.#directory, unnamed | constants.O_RDWR, 0o600);
      } catch (error) {
        // Not every file system has it.
        if (!hasCode(error, 'EOPNOTSUPP', 'ENOTSUP', 'EISDIR', 'EINVAL')) throw error;
      }
    }
    const path = join(this.#directory, `${randomBytes(6).toString('hex')}.tmp`);
    const file = await open(path, 'wx+', 0o600);
    await unlink(path);
    return file;
  }
}
