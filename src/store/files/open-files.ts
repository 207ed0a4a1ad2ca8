/**
 * Read descriptors that several readers share, and what they keep alive: the bytes of a file without a name stay on disk
 * until its last descriptor is closed. `statfs` sees them, `du` does not, so they are counted here.
 */
import type { FileHandle } from 'node:fs/promises';
import type { Digest } from '../../oci/digest.ts';
import { type IngestReader, StoreError } from '../contract/blob-store.ts';

/** Bytes of unlinked files that are still open. */
export class ZombieCount {
  bytes = 0;
}

/** A descriptor with a reference count that starts at 1. */
export class SharedFile {
  readonly handle: FileHandle;
  /** Of the file, as far as its owner knows: what it weighs as a zombie. */
  allocatedBytes: number;
  readonly #zombies: ZombieCount;
  #references = 1;
  #zombieBytes = 0;
  #onClosing: () => void = () => undefined;

  constructor(handle: FileHandle, zombies: ZombieCount, allocatedBytes: number) {
    this.handle = handle;
    this.#zombies = zombies;
    this.allocatedBytes = allocatedBytes;
  }

  get isClosed(): boolean {
    return this.#references === 0;
  }

  /** Called once, synchronously, when the last reference goes. */
  onClosing(listener: () => void): void {
    this.#onClosing = listener;
  }

  /** One more reader; the file must not be closed. */
  retain(): this {
    if (this.isClosed) throw new Error('retained a closed file');
    this.#references++;
    return this;
  }

  /** Closes the descriptor with the last reference. */
  async release(): Promise<void> {
    if (this.isClosed) throw new Error('released a closed file');
    if (--this.#references > 0) return;
    this.#onClosing();
    try {
      await this.handle.close();
    } finally {
      this.#zombies.bytes -= this.#zombieBytes;
      this.#zombieBytes = 0;
    }
  }

  /** The file has lost its last name. */
  unlinked(): void {
    if (this.isClosed || this.#zombieBytes > 0) return;
    this.#zombieBytes = this.allocatedBytes;
    this.#zombies.bytes += this.#zombieBytes;
  }

  /** A reader that closes once, however often it is told to. Takes over one reference. */
  reader(): IngestReader {
    let isOpen = true;
    return {
      fd: this.handle.fd,
      read: async (buffer, offset, length, position) => {
        if (!isOpen) throw new StoreError('sick', 'read from a closed reader');
        return (await this.handle.read(buffer, offset, length, position)).bytesRead;
      },
      close: async () => {
        if (!isOpen) return;
        isOpen = false;
        await this.release();
      },
    };
  }
}

/** Which file is open for which digest. An entry goes with its last reader, or when the name goes. */
export class OpenBlobs {
  readonly zombies = new ZombieCount();
  readonly #files = new Map<Digest, SharedFile>();

  has(digest: Digest): boolean {
    return this.#files.has(digest);
  }

  isCurrent(digest: Digest, file: SharedFile): boolean {
    return this.#files.get(digest) === file;
  }

  /** Retained for the caller. */
  find(digest: Digest): SharedFile | undefined {
    return this.#files.get(digest)?.retain();
  }

  enter(digest: Digest, file: SharedFile): void {
    if (file.isClosed) return;
    this.#files.set(digest, file);
    file.onClosing(() => {
      if (this.#files.get(digest) === file) this.#files.delete(digest);
    });
  }

  /** The digest's name now stands for nothing or for another file; `isUnlinked` false when the file has a new name. */
  detach(digest: Digest, isUnlinked = true): void {
    const file = this.#files.get(digest);
    this.#files.delete(digest);
    if (isUnlinked) file?.unlinked();
  }
}
