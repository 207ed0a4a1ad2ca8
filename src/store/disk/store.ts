/** The blob store on disk: visible blobs (`blob-files`), part files (`ingest-files`), and what they weigh together. */
import { statfs } from 'node:fs/promises';
import { type Digest, digestAlgorithm, digestOf } from '../../oci/digest.ts';
import type { BlobFiles } from '../blobs/blobs.ts';
import {
  type BlobInfo,
  type BlobStore,
  type Ingest,
  type IngestKey,
  type OpenBlob,
  type PartialInfo,
  StoreError,
  type StoreUsage,
} from '../contract/blob-store.ts';
import type { Metadata } from '../metadata/metadata.ts';
import type { IngestFiles } from '../ingest/ingests.ts';
import { storeError } from '../files/errors.ts';
import type { Overhead } from './overhead.ts';
import type { StorePaths } from '../files/paths.ts';
import { readWhole } from './read-all.ts';

export interface DiskStoreParts {
  readonly paths: StorePaths;
  readonly metadata: Metadata;
  readonly blobs: BlobFiles;
  readonly ingests: IngestFiles;
  readonly overhead: Overhead;
  /** Looks only: whatever would change the disk rejects with StoreError `sick`. */
  readonly isReadOnly: boolean;
}

export class DiskStore implements BlobStore {
  readonly #paths: StorePaths;
  readonly #metadata: Metadata;
  readonly #blobs: BlobFiles;
  readonly #ingests: IngestFiles;
  readonly #overhead: Overhead;
  readonly #isReadOnly: boolean;

  constructor({ paths, metadata, blobs, ingests, overhead, isReadOnly }: DiskStoreParts) {
    this.#paths = paths;
    this.#metadata = metadata;
    this.#blobs = blobs;
    this.#ingests = ingests;
    this.#overhead = overhead;
    this.#isReadOnly = isReadOnly;
  }

  stat(digest: Digest): Promise<BlobInfo | undefined> {
    return this.#blobs.stat(digest);
  }

  async open(digest: Digest): Promise<OpenBlob | undefined> {
    const opened = await this.#blobs.open(digest);
    if (opened === undefined) return undefined;
    const reader = opened.file.reader();
    const read: OpenBlob['read'] = async (...place) => {
      try {
        return await reader.read(...place);
      } catch (error) {
        // A bad sector, say. This reader ends; whoever asks next gets the blob from where it came.
        if (!(error instanceof StoreError)) this.#blobs.failed(digest, error);
        throw error;
      }
    };
    return { ...reader, read, info: opened.info, [Symbol.asyncDispose]: () => reader.close() };
  }

  readAll(digest: Digest, maxBytes: number): Promise<Uint8Array | undefined> {
    return readWhole(this, digest, maxBytes);
  }

  async put(digest: Digest, bytes: Uint8Array): Promise<BlobInfo> {
    if (digestOf(bytes, digestAlgorithm(digest)) !== digest) {
      throw new StoreError('mismatch', `the ${bytes.byteLength} bytes given are not ${digest}`);
    }
    this.#assertWritable();
    const existing = await this.#blobs.stat(digest);
    if (existing !== undefined && !existing.isSuspect) return existing;
    // Never kept, so no upstream will ask for it.
    const ingest = await this.#ingests.create({ digest, upstream: '' });
    try {
      await ingest.write([bytes], 0);
    } catch (error) {
      await ingest.abort('it could not be written');
      throw error;
    }
    return ingest.adopt(bytes.byteLength);
  }

  async createIngest(key: IngestKey): Promise<Ingest> {
    this.#assertWritable();
    return this.#ingests.create(key);
  }

  async resumeIngest(key: IngestKey): Promise<Ingest | undefined> {
    this.#assertWritable();
    return this.#ingests.resume(key);
  }

  partials(): readonly PartialInfo[] {
    return this.#ingests.list();
  }

  async removePartial(key: IngestKey): Promise<void> {
    this.#assertWritable();
    return this.#ingests.removePartial(key);
  }

  async prove(digest: Digest, sizeBytes: number): Promise<void> {
    this.#assertWritable();
    return this.#blobs.prove(digest, sizeBytes);
  }

  async remove(digest: Digest): Promise<number | undefined> {
    this.#assertWritable();
    return this.#blobs.remove(digest);
  }

  async quarantine(digest: Digest, reason: string): Promise<void> {
    this.#assertWritable();
    return this.#blobs.quarantine(digest, reason);
  }

  isOpen(digest: Digest): boolean {
    return this.#blobs.opened.has(digest);
  }

  usage(): StoreUsage {
    const { blobs, allocatedBytes } = this.#metadata.blobs.totals();
    return {
      blobs,
      blobBytes: allocatedBytes,
      ingestBytes: this.#ingests.allocatedBytes,
      zombieBytes: this.#blobs.opened.zombies.bytes,
      overheadBytes: this.#overhead.bytes,
      metadataBytes: this.#overhead.metadataBytes,
      unreadable: this.#blobs.unreadable,
    };
  }

  async freeSpace(): Promise<{ readonly freeBytes: number; readonly totalBytes: number }> {
    try {
      const { bavail, blocks, bsize } = await statfs(this.#paths.root);
      return { freeBytes: bavail * bsize, totalBytes: blocks * bsize };
    } catch (error) {
      throw storeError(error, `asking for the free space of ${this.#paths.root}`);
    }
  }

  /** Open ingests stop as a kill would stop them; what they had synced is resumable. Blobs belong to their readers. */
  async close(): Promise<void> {
    await this.#ingests.close();
    await this.#overhead.close();
  }

  #assertWritable(): void {
    if (this.#isReadOnly) throw new StoreError('sick', `${this.#paths.root} is open for reading only`);
  }
}
