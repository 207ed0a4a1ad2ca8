/**
 * What a store of content-addressed bytes must do. The cache talks to this interface only; `DiskStore` implements it and
 * passes `test/store/contract`.
 *
 * A blob's life: `createIngest` opens a part file, the fill writes pieces of it in any order, proves digest and size,
 * and `adopt`s it; from then on it is visible through `stat` and `open` and never changes. Nothing is visible under a
 * digest before `adopt` has linked it, and the store never hashes: proving is the fill's work, except for `put`, which
 * hashes what it is given.
 */
import type { Digest } from '../../oci/digest.ts';

/** Half-open byte interval `[start, end)`. */
export interface Interval {
  readonly start: number;
  readonly end: number;
}

/** Positional reads; safe to call concurrently. Resolves the bytes read, 0 only at or past the end of the file. */
export interface PositionalReader {
  /**
   * The file's descriptor on this thread, for senders that work on descriptors: valid until this reader is closed, never
   * to be closed, written to or moved by anybody else. Absent where there is no file.
   */
  readonly fd?: number;
  read(buffer: Uint8Array, offset: number, length: number, position: number): Promise<number>;
}

export interface BlobInfo {
  readonly digest: Digest;
  readonly sizeBytes: number;
  /** Absolute path of the file, for threads that open it anew; undefined where there is no file. */
  readonly path: string | undefined;
  /**
   * The bytes are there but nobody has proved this file as it is: they must be re-hashed before the last byte is given
   * to anyone (`BlobStore.prove` or `quarantine` ends this state).
   */
  readonly isSuspect: boolean;
}

/** An opened blob. The descriptor is shared by all its readers of this thread; whoever opens it closes it once. */
export interface OpenBlob extends PositionalReader, AsyncDisposable {
  readonly info: BlobInfo;
  close(): Promise<void>;
}

/** A reader of a part file, independent of its write descriptor. Whoever opens it closes it once. */
export interface IngestReader extends PositionalReader {
  close(): Promise<void>;
}

export interface IngestKey {
  readonly digest: Digest;
  /** Key of the upstream that the bytes come from; a partial is continued from the same upstream only. */
  readonly upstream: string;
}

/**
 * A write in progress, exclusively owned by one fill. `write` and `sync` may overlap with reads. Exactly one of
 * `adopt`, `keep` and `abort` ends it; each closes the write descriptor first, so a proved file has no writer left.
 * Readers opened with `openReader` stay valid after all three (the inode lives as long as they do).
 */
export interface Ingest {
  readonly key: IngestKey;
  /** Absolute path while the ingest is open, for threads that write to it; undefined where there is no file. */
  readonly path: string | undefined;
  /** The file is a stored blob that is proved again: it is not written to, and others may take its name. */
  readonly isStored?: true;
  /** What a resumed partial already held, durably, when it was opened; empty for a new one. */
  readonly resumed: readonly Interval[];
  /** Size of the whole blob as recorded with the partial, or undefined when it was never known. A claim, not a proof. */
  readonly claimedSizeBytes: number | undefined;
  /** Writes all bytes of all buffers at `position`. Rejects with StoreError (`full`, `sick`). */
  write(buffers: readonly Uint8Array[], position: number): Promise<void>;
  /** Another thread wrote so many bytes through `path`. The store counts them; it does not look at them. */
  wrote(bytes: number): void;
  /** Rejects with StoreError `sick`, also once the ingest has ended. */
  openReader(): Promise<IngestReader>;
  /**
   * Makes `written` (which the caller read *before* calling) durable: fdatasync, then the side file records it.
   * After a restart exactly that much is trusted to be on disk.
   */
  sync(written: readonly Interval[], sizeBytes: number | undefined): Promise<void>;
  /** Bytes that the part file occupies on disk now (allocated blocks). */
  allocatedBytes(): number;
  /**
   * Takes proved bytes into the store: chmod 0444, fsync, link to the digest's name, fsync the directory, unlink the
   * ingest name. A name that exists already with the same size and proved is success; with another size, or suspect, it
   * is replaced. Rejects with StoreError; then nothing is stored and the ingest is gone.
   */
  adopt(sizeBytes: number): Promise<BlobInfo>;
  /** Stops, leaving a partial that `resumeIngest` finds, also after a restart. */
  keep(written: readonly Interval[], sizeBytes: number | undefined): Promise<void>;
  /** Stops and deletes. `reason`, for people, says why; kept where something of it is kept. */
  abort(reason: string): Promise<void>;
}

export interface StoreUsage {
  readonly blobs: number;
  /** Allocated bytes of visible blobs. */
  readonly blobBytes: number;
  /** Allocated bytes of open ingests and kept partials. */
  readonly ingestBytes: number;
  /** Allocated bytes of unlinked files that a reader still holds open. */
  readonly zombieBytes: number;
  /** Of weir's own files, what counts towards a limit: quarantine, and catalog and index.json up to their share. */
  readonly overheadBytes: number;
  /** Catalog, its write-ahead log, index.json: all that they take. */
  readonly metadataBytes: number;
  /** How often, since the start, a blob that is there could not be opened or read. */
  readonly unreadable: number;
}

export interface PartialInfo {
  readonly key: IngestKey;
  readonly allocatedBytes: number;
  /** Epoch milliseconds of the last write. */
  readonly updatedAtMs: number;
}

export interface BlobStore {
  /** Undefined when there is no such blob. The file is the truth: one fstat, and its size must be the recorded one. */
  stat(digest: Digest): Promise<BlobInfo | undefined>;
  /** Like `stat`, but opened; "the catalog says yes, open says ENOENT" is undefined, not an error. */
  open(digest: Digest): Promise<OpenBlob | undefined>;
  /** Reads a whole small blob (a manifest). `maxBytes` guards memory; a larger one rejects with StoreError `tooLarge`. */
  readAll(digest: Digest, maxBytes: number): Promise<Uint8Array | undefined>;
  /** Stores small bytes after hashing them; rejects with StoreError `mismatch` when they are not that digest. */
  put(digest: Digest, bytes: Uint8Array): Promise<BlobInfo>;
  /** Opens a new ingest. Never touches an existing partial of that key (call `resumeIngest` first). */
  createIngest(key: IngestKey): Promise<Ingest>;
  /** Opens the partial of that key for continuing, or undefined. Its owner is the caller from then on. */
  resumeIngest(key: IngestKey): Promise<Ingest | undefined>;
  /** Kept partials that nobody has open, oldest first. */
  partials(): readonly PartialInfo[];
  removePartial(key: IngestKey): Promise<void>;
  /** A suspect blob was re-hashed and is right. */
  prove(digest: Digest, sizeBytes: number): Promise<void>;
  /** Unlinks; open readers finish. Resolves the allocated bytes, or undefined when it was not there. */
  remove(digest: Digest): Promise<number | undefined>;
  /** Moves a bad object aside with its reason; it is a miss from then on. */
  quarantine(digest: Digest, reason: string): Promise<void>;
  /** Some reader holds it open, so removing it would free nothing yet. */
  isOpen(digest: Digest): boolean;
  usage(): StoreUsage;
  /** Free bytes of the file system for unprivileged writers, and its size. */
  freeSpace(): Promise<{ readonly freeBytes: number; readonly totalBytes: number }>;
  /** Ends background work and closes what is open. Idempotent. */
  close(): Promise<void>;
}

/**
 * `full`: ENOSPC, EDQUOT, EFBIG · `sick`: any other I/O error, read-only, out of descriptors · `mismatch`: bytes are not
 * the digest · `tooLarge`: beyond the caller's limit · `locked`: another daemon owns the root · `layout`: the root was
 * written by a newer version or is not ours.
 */
export type StoreErrorKind = 'full' | 'sick' | 'mismatch' | 'tooLarge' | 'locked' | 'layout';

export class StoreError extends Error {
  readonly kind: StoreErrorKind;

  constructor(kind: StoreErrorKind, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'StoreError';
    this.kind = kind;
  }
}
