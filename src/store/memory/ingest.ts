/** An ingest of the memory store. */
import {
  type BlobInfo,
  type Ingest,
  type IngestKey,
  type Interval,
  type SpoolReader,
  StoreError,
} from '../contract/blob-store.ts';
import type { MemoryFile } from './file.ts';

/** What the store does for its ingests. */
export interface MemoryIngestOwner {
  /** Bytes that may still be written before the store is full. */
  room(): number;
  openReader(file: MemoryFile): SpoolReader;
  ended(ingest: MemoryIngest): void;
  adopt(key: IngestKey, file: MemoryFile): Promise<BlobInfo>;
  keep(key: IngestKey, file: MemoryFile, written: readonly Interval[], sizeBytes: number | undefined): void;
  discard(file: MemoryFile): void;
}

export class MemoryIngest implements Ingest {
  readonly key: IngestKey;
  readonly path = undefined;
  readonly resumed: readonly Interval[];
  readonly claimedSizeBytes: number | undefined;
  readonly file: MemoryFile;
  readonly #owner: MemoryIngestOwner;
  #isOpen = true;

  constructor(
    owner: MemoryIngestOwner,
    key: IngestKey,
    file: MemoryFile,
    resumed: readonly Interval[],
    claimedSizeBytes: number | undefined,
  ) {
    this.#owner = owner;
    this.key = key;
    this.file = file;
    this.resumed = resumed;
    this.claimedSizeBytes = claimedSizeBytes;
  }

  async write(buffers: readonly Uint8Array[], position: number): Promise<void> {
    this.#assertOpen();
    const end = buffers.reduce((sum, { byteLength }) => sum + byteLength, position);
    if (end - this.file.length > this.#owner.room()) {
      throw new StoreError('full', `writing ${this.key.digest} failed: no room`);
    }
    this.file.write(buffers, position);
  }

  wrote(): void {
    throw new Error('nobody can write to memory by path');
  }

  async openReader(): Promise<SpoolReader> {
    this.#assertOpen();
    return this.#owner.openReader(this.file);
  }

  async sync(): Promise<void> {
    this.#assertOpen();
  }

  allocatedBytes(): number {
    return this.file.length;
  }

  async adopt(sizeBytes: number): Promise<BlobInfo> {
    this.#end();
    if (this.file.length === sizeBytes) return this.#owner.adopt(this.key, this.file);
    this.#owner.discard(this.file);
    throw new StoreError('mismatch', `the spool has ${this.file.length} bytes instead of ${sizeBytes}`);
  }

  async keep(written: readonly Interval[], sizeBytes: number | undefined): Promise<void> {
    this.#end();
    this.#owner.keep(this.key, this.file, written, sizeBytes);
  }

  async abort(): Promise<void> {
    this.#end();
    this.#owner.discard(this.file);
  }

  #assertOpen(): void {
    if (!this.#isOpen) throw new StoreError('sick', `the ingest of ${this.key.digest} has ended`);
  }

  #end(): void {
    this.#assertOpen();
    this.#isOpen = false;
    this.#owner.ended(this);
  }
}
