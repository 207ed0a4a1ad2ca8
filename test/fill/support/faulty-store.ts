/** A store in memory whose faults a test controls: full at a byte count, sick at adopt, gated writes. */
import { type Digest, digestAlgorithm, digestOf } from '../../../src/oci/digest.ts';
import {
  type BlobInfo,
  type BlobStore,
  type Ingest,
  type IngestKey,
  type Interval,
  type OpenBlob,
  type PartialInfo,
  StoreError,
  type StoreUsage,
} from '../../../src/store/contract/blob-store.ts';
import type { Metadata } from '../../../src/store/metadata/metadata.ts';

interface Partial {
  readonly key: IngestKey;
  readonly bytes: Buffer;
  readonly written: readonly Interval[];
  readonly sizeBytes: number | undefined;
}

export class FaultyStore implements BlobStore {
  readonly blobs = new Map<Digest, Buffer>();
  readonly suspects = new Set<Digest>();
  readonly kept = new Map<string, Partial>();
  readonly quarantined: { digest: Digest; reason: string }[] = [];
  readonly open_ = new Map<Digest, number>();
  /** The largest blob that an ingest can hold. */
  roomBytes = 8 * 1024 * 1024;
  openIngests = 0;
  openReaders = 0;
  ingestBytes = 0;
  /** Bytes that the file system says are free; a blob that is removed makes it plenty. */
  freeBytes = 2 ** 40;
  /** Total bytes that ingests may hold before writes are refused as full. */
  fullAt = Infinity;
  /** Reject createIngest. */
  isSick = false;
  /** Reject adopt. */
  failsAdopt = false;
  /** Reject openReader, as when there are no descriptors left. */
  failsOpenReader = false;
  /** Reject stat. */
  failsStat = false;
  /** Held by a test. */
  afterLook: () => Promise<void> | undefined = () => undefined;
  beforeWrite: () => Promise<void> | undefined = () => undefined;
  beforeKeep: () => Promise<void> | undefined = () => undefined;
  beforeAdopt: () => Promise<void> | undefined = () => undefined;
  /** Held, or rejected, before each read; `reader` counts those that were opened. */
  beforeRead: (reader: number) => Promise<void> | undefined = () => undefined;
  /** Reject removing this one. */
  unremovable: Digest | undefined;
  /** Partials that nobody has looked at since the start, so that they are not listed. */
  hidesPartials = false;
  /** What no caller may do: closing twice, reading after that. */
  readonly misuses: string[] = [];
  #readersOpened = 0;
  readonly #metadata: Metadata;

  constructor(metadata: Metadata) {
    this.#metadata = metadata;
  }

  async stat(digest: Digest): Promise<BlobInfo | undefined> {
    if (this.failsStat) throw new StoreError('sick', 'input/output error');
    const bytes = this.blobs.get(digest);
    await this.afterLook();
    if (bytes === undefined) return undefined;
    return { digest, sizeBytes: bytes.byteLength, path: undefined, isSuspect: this.suspects.has(digest) };
  }

  async open(digest: Digest): Promise<OpenBlob | undefined> {
    const info = await this.stat(digest);
    const bytes = this.blobs.get(digest);
    if (info === undefined || bytes === undefined) return undefined;
    this.open_.set(digest, (this.open_.get(digest) ?? 0) + 1);
    const { read, close: end } = this.#reader(bytes);
    const close = async (): Promise<void> => {
      await end();
      this.open_.set(digest, (this.open_.get(digest) ?? 1) - 1);
    };
    return { info, read, close, [Symbol.asyncDispose]: close };
  }

  async readAll(digest: Digest): Promise<Uint8Array | undefined> {
    return this.blobs.get(digest);
  }

  async put(digest: Digest, bytes: Uint8Array): Promise<BlobInfo> {
    if (digestOf(bytes, digestAlgorithm(digest)) !== digest) throw new StoreError('mismatch', 'wrong bytes');
    if (this.ingestBytes + bytes.byteLength > this.fullAt) throw new StoreError('full', 'no space left');
    this.#seal(digest, Buffer.from(bytes));
    return { digest, sizeBytes: bytes.byteLength, path: undefined, isSuspect: false };
  }

  async createIngest(key: IngestKey): Promise<Ingest> {
    if (this.isSick) throw new StoreError('sick', 'the disk is sick');
    return this.#ingest(key, Buffer.alloc(this.roomBytes), [], undefined);
  }

  async resumeIngest(key: IngestKey): Promise<Ingest | undefined> {
    const partial = this.kept.get(name(key));
    if (partial === undefined) return undefined;
    this.kept.delete(name(key));
    const bytes = Buffer.alloc(this.roomBytes);
    for (const { start, end } of partial.written) partial.bytes.copy(bytes, start, start, end);
    return this.#ingest(key, bytes, partial.written, partial.sizeBytes);
  }

  partials(): readonly PartialInfo[] {
    if (this.hidesPartials) return [];
    return [...this.kept.values()].map(({ key, written }) => ({
      key,
      allocatedBytes: written.reduce((sum, { start, end }) => sum + end - start, 0),
      updatedAtMs: 0,
    }));
  }

  async removePartial(key: IngestKey): Promise<void> {
    this.kept.delete(name(key));
  }

  async prove(digest: Digest): Promise<void> {
    this.suspects.delete(digest);
  }

  async remove(digest: Digest): Promise<number | undefined> {
    if (digest === this.unremovable) throw new StoreError('sick', 'operation not permitted');
    const bytes = this.blobs.get(digest);
    this.blobs.delete(digest);
    this.freeBytes = 2 ** 40;
    this.#metadata.blobs.forget(digest);
    return bytes?.byteLength;
  }

  async quarantine(digest: Digest, reason: string): Promise<void> {
    this.quarantined.push({ digest, reason });
    this.blobs.delete(digest);
    this.suspects.delete(digest);
  }

  isOpen(digest: Digest): boolean {
    return (this.open_.get(digest) ?? 0) > 0;
  }

  usage(): StoreUsage {
    let blobBytes = 0;
    for (const bytes of this.blobs.values()) blobBytes += bytes.byteLength;
    const keptBytes = this.partials().reduce((sum, { allocatedBytes }) => sum + allocatedBytes, 0);
    return {
      blobs: this.blobs.size,
      blobBytes,
      ingestBytes: this.ingestBytes + keptBytes,
      zombieBytes: 0,
      overheadBytes: 0,
      metadataBytes: 0,
      unreadable: 0,
    };
  }

  async freeSpace(): Promise<{ freeBytes: number; totalBytes: number }> {
    return { freeBytes: this.freeBytes, totalBytes: 2 ** 41 };
  }

  async close(): Promise<void> {}

  #seal(digest: Digest, bytes: Buffer): void {
    this.blobs.set(digest, bytes);
    this.#metadata.blobs.record({ digest, sizeBytes: bytes.byteLength, allocatedBytes: bytes.byteLength });
  }

  #ingest(key: IngestKey, bytes: Buffer, resumed: readonly Interval[], claimed: number | undefined): Ingest {
    this.openIngests += 1;
    let held = 0;
    const end = (): void => {
      this.openIngests -= 1;
      this.ingestBytes -= held;
      held = 0;
    };
    return {
      key,
      path: undefined,
      resumed,
      claimedSizeBytes: claimed,
      write: async (buffers, position) => {
        await this.beforeWrite();
        let at = position;
        for (const buffer of buffers) {
          if (this.ingestBytes + buffer.byteLength > this.fullAt) throw new StoreError('full', 'no space left');
          bytes.set(buffer, at);
          at += buffer.byteLength;
          held += buffer.byteLength;
          this.ingestBytes += buffer.byteLength;
        }
      },
      wrote: () => undefined,
      openReader: async () => {
        if (this.failsOpenReader) throw new StoreError('sick', 'too many open files');
        return this.#reader(bytes);
      },
      sync: async () => undefined,
      allocatedBytes: () => held,
      adopt: async (sizeBytes) => {
        await this.beforeAdopt();
        end();
        if (this.failsAdopt) throw new StoreError('sick', 'fsync failed');
        this.#seal(key.digest, bytes.subarray(0, sizeBytes));
        return { digest: key.digest, sizeBytes, path: undefined, isSuspect: false };
      },
      keep: async (written, sizeBytes) => {
        await this.beforeKeep();
        end();
        if (written.length > 0) this.kept.set(name(key), { key, bytes, written: [...written], sizeBytes });
      },
      abort: async () => end(),
    };
  }

  #reader(bytes: Buffer) {
    this.openReaders += 1;
    this.#readersOpened += 1;
    const number = this.#readersOpened;
    let isOpen = true;
    return {
      read: async (buffer: Uint8Array, offset: number, length: number, position: number): Promise<number> => {
        if (!isOpen) this.misuses.push('read after close');
        await this.beforeRead(number);
        const part = bytes.subarray(position, position + length);
        buffer.set(part, offset);
        return part.byteLength;
      },
      close: async (): Promise<void> => {
        if (!isOpen) this.misuses.push('closed twice');
        isOpen = false;
        this.openReaders -= 1;
      },
    };
  }
}

function name(key: IngestKey): string {
  return `${key.digest}|${key.upstream}`;
}
