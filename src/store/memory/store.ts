/** The blob store in memory: the second implementation of the same contract, for tests and for looking at policy alone. */
import { type Digest, digestAlgorithm, digestOf } from '../../oci/digest.ts';
import {
  type BlobInfo,
  type BlobStore,
  type Ingest,
  type IngestKey,
  type Interval,
  type OpenBlob,
  type PartialInfo,
  type SpoolReader,
  StoreError,
  type StoreUsage,
} from '../contract/blob-store.ts';
import type { Catalog } from '../contract/metadata.ts';
import { MemoryFile } from './file.ts';
import { MemoryIngest, type MemoryIngestOwner } from './ingest.ts';
import { readWhole } from '../disk/read-all.ts';
import { clipIntervals, intervalBytes } from '../ingest/state-file.ts';

export interface MemoryStoreOptions {
  readonly catalog: Catalog;
  readonly now: () => number;
  /** Bytes that all files together may have before writes are refused as full. Default: no limit. */
  readonly maxBytes?: number;
}

interface Kept extends PartialInfo {
  readonly file: MemoryFile;
  readonly written: readonly Interval[];
  readonly sizeBytes: number | undefined;
}

export class MemoryStore implements BlobStore, MemoryIngestOwner {
  readonly #catalog: Catalog;
  readonly #now: () => number;
  readonly #maxBytes: number;
  readonly #blobs = new Map<Digest, MemoryFile>();
  readonly #kept = new Map<string, Kept>();
  readonly #ingests = new Set<MemoryIngest>();
  /** Files without a name that somebody still reads. */
  readonly #zombies = new Set<MemoryFile>();

  constructor({ catalog, now, maxBytes = Number.MAX_SAFE_INTEGER }: MemoryStoreOptions) {
    this.#catalog = catalog;
    this.#now = now;
    this.#maxBytes = maxBytes;
  }

  async stat(digest: Digest): Promise<BlobInfo | undefined> {
    const file = this.#blobs.get(digest);
    const row = this.#catalog.sealed(digest);
    if (file === undefined) {
      if (row !== undefined) this.#catalog.forgetSealed(digest);
      return undefined;
    }
    const sizeBytes = file.length;
    if ((row !== undefined && row.sizeBytes !== sizeBytes) || (sizeBytes === 0 && !isEmpty(digest))) {
      await this.quarantine(digest);
      return undefined;
    }
    if (row === undefined) {
      const lastUsedMs = this.#now();
      this.#catalog.recordSuspect({ digest, sizeBytes, allocatedBytes: sizeBytes, lastUsedMs });
    }
    return { digest, sizeBytes, path: undefined, isSuspect: row?.isSuspect ?? true };
  }

  async open(digest: Digest): Promise<OpenBlob | undefined> {
    const info = await this.stat(digest);
    const file = this.#blobs.get(digest);
    if (info === undefined || file === undefined) return undefined;
    const reader = this.openReader(file);
    return { ...reader, info, [Symbol.asyncDispose]: () => reader.close() };
  }

  readAll(digest: Digest, maxBytes: number): Promise<Uint8Array | undefined> {
    return readWhole(this, digest, maxBytes);
  }

  async put(digest: Digest, bytes: Uint8Array): Promise<BlobInfo> {
    if (digestOf(bytes, digestAlgorithm(digest)) !== digest) {
      throw new StoreError('mismatch', `the ${bytes.byteLength} bytes given are not ${digest}`);
    }
    const existing = await this.stat(digest);
    if (existing !== undefined && !existing.isSuspect) return existing;
    const ingest = await this.createIngest({ digest, upstream: '' });
    try {
      await ingest.write([bytes], 0);
    } catch (error) {
      await ingest.abort();
      throw error;
    }
    return ingest.adopt(bytes.byteLength);
  }

  async createIngest(key: IngestKey): Promise<Ingest> {
    return this.#ingest(key, new MemoryFile(), [], undefined);
  }

  async resumeIngest(key: IngestKey): Promise<Ingest | undefined> {
    const kept = this.#kept.get(keyText(key));
    if (kept === undefined) return undefined;
    this.#kept.delete(keyText(key));
    return this.#ingest(key, kept.file, kept.written, kept.sizeBytes);
  }

  partials(): readonly PartialInfo[] {
    return [...this.#kept.values()]
      .map(({ key, allocatedBytes, updatedAtMs }) => ({ key, allocatedBytes, updatedAtMs }))
      .sort((one, other) => one.updatedAtMs - other.updatedAtMs);
  }

  async removePartial(key: IngestKey): Promise<void> {
    this.#kept.delete(keyText(key));
  }

  async prove(digest: Digest, sizeBytes: number): Promise<void> {
    const file = this.#blobs.get(digest);
    if (file === undefined) return;
    if (file.length !== sizeBytes) throw new StoreError('mismatch', `${digest} has ${file.length} bytes`);
    this.#catalog.recordSealed({ digest, sizeBytes, allocatedBytes: sizeBytes });
  }

  async remove(digest: Digest): Promise<number | undefined> {
    const file = this.#blobs.get(digest);
    this.#blobs.delete(digest);
    this.#catalog.forgetSealed(digest);
    if (file === undefined) return undefined;
    this.discard(file);
    return file.length;
  }

  async quarantine(digest: Digest): Promise<void> {
    this.#blobs.delete(digest);
    this.#catalog.forgetSealed(digest);
  }

  isOpen(digest: Digest): boolean {
    return (this.#blobs.get(digest)?.readers ?? 0) > 0;
  }

  usage(): StoreUsage {
    const { blobs, allocatedBytes } = this.#catalog.totals();
    const kept = [...this.#kept.values()].map(({ file }) => file);
    return {
      blobs,
      blobBytes: allocatedBytes,
      ingestBytes: lengthOf([...this.#ingests].map(({ file }) => file)) + lengthOf(kept),
      zombieBytes: lengthOf(this.#zombies),
      overheadBytes: 0,
      catalogBytes: 0,
      unreadable: 0,
    };
  }

  async freeSpace(): Promise<{ readonly freeBytes: number; readonly totalBytes: number }> {
    return { freeBytes: this.room(), totalBytes: this.#maxBytes };
  }

  async close(): Promise<void> {
    this.#ingests.clear();
  }

  room(): number {
    return this.#maxBytes - this.#usedBytes();
  }

  openReader(file: MemoryFile): SpoolReader {
    return file.openReader(() => this.#zombies.delete(file));
  }

  ended(ingest: MemoryIngest): void {
    this.#ingests.delete(ingest);
  }

  async adopt({ digest }: IngestKey, file: MemoryFile): Promise<BlobInfo> {
    const existing = await this.stat(digest);
    const sizeBytes = file.length;
    if (existing !== undefined && !existing.isSuspect && existing.sizeBytes === sizeBytes) this.discard(file);
    else {
      const replaced = this.#blobs.get(digest);
      if (replaced !== undefined) this.discard(replaced);
      this.#blobs.set(digest, file);
      this.#catalog.recordSealed({ digest, sizeBytes, allocatedBytes: sizeBytes });
    }
    return { digest, sizeBytes, path: undefined, isSuspect: false };
  }

  keep(key: IngestKey, file: MemoryFile, written: readonly Interval[], sizeBytes: number | undefined): void {
    const usable = clipIntervals(written, file.length);
    const other = this.#kept.get(keyText(key));
    if (intervalBytes(usable) <= intervalBytes(other?.written ?? [])) this.discard(file);
    else {
      const updatedAtMs = this.#now();
      this.#kept.set(keyText(key), { key, file, written: usable, sizeBytes, allocatedBytes: file.length, updatedAtMs });
    }
  }

  discard(file: MemoryFile): void {
    if (file.readers > 0) this.#zombies.add(file);
  }

  /** As if found after an unclean stop: bytes under a digest that nobody has proved, right or wrong. */
  plant(digest: Digest, bytes: Uint8Array): void {
    const file = new MemoryFile();
    file.write([bytes], 0);
    this.#blobs.set(digest, file);
  }

  #ingest(
    key: IngestKey,
    file: MemoryFile,
    resumed: readonly Interval[],
    claimedSizeBytes: number | undefined,
  ): Ingest {
    const ingest = new MemoryIngest(this, key, file, resumed, claimedSizeBytes);
    this.#ingests.add(ingest);
    return ingest;
  }

  #usedBytes(): number {
    const { blobBytes, ingestBytes, zombieBytes } = this.usage();
    return blobBytes + ingestBytes + zombieBytes;
  }
}

function lengthOf(parts: Iterable<{ readonly length: number }>): number {
  let sum = 0;
  for (const { length } of parts) sum += length;
  return sum;
}

function isEmpty(digest: Digest): boolean {
  return digest === digestOf('', digestAlgorithm(digest));
}

function keyText({ digest, upstream }: IngestKey): string {
  return `${digest}\n${upstream}`;
}
