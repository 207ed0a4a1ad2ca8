/** A cache that answers what the test says and remembers what it was asked and what was closed. */
import type {
  BlobQuery,
  Cache,
  CatalogAnswer,
  CatalogQuery,
  ManifestAnswer,
  ManifestQuery,
  ReferrersAnswer,
  ReferrersQuery,
  TagsAnswer,
  TagsQuery,
} from '../../../src/cache/contract/cache.ts';
import type { BlobReader, BlobView, BodySpan } from '../../../src/fill/contract/blob-view.ts';
import { CacheError } from '../../../src/fill/contract/errors.ts';
import type { Outcome } from '../../../src/headers/cache-status.ts';
import { type Digest, digestOf } from '../../../src/oci/digest.ts';
import { referenceText } from '../../../src/oci/reference.ts';

/** Bytes by position, of any size, without keeping them. */
export interface Source {
  readonly sizeBytes: number;
  fill(buffer: Uint8Array, offset: number, length: number, position: number): void;
}

const block = Buffer.from(Array.from({ length: 64 * 1024 }, (_, i) => (i * 31 + (i >> 8) * 7) & 0xff));

/** `sizeBytes` bytes in which each position differs from its neighbours. */
export function patternSource(sizeBytes: number): Source {
  return {
    sizeBytes,
    fill(buffer, offset, length, position) {
      let done = 0;
      while (done < length) {
        const from = (position + done) % block.length;
        const part = Math.min(length - done, block.length - from);
        buffer.set(block.subarray(from, from + part), offset + done);
        done += part;
      }
    },
  };
}

export function bytesOf(source: Source, start = 0, end = source.sizeBytes): Buffer {
  const bytes = Buffer.alloc(end - start);
  source.fill(bytes, 0, bytes.length, start);
  return bytes;
}

/** A blob that comes as the test lets it: `advance` makes bytes readable, `fail` breaks it, `prove` seals it. */
export class FakeBlob {
  readonly source: Source;
  readonly digest: Digest;
  outcome: Outcome = { kind: 'hit' };
  isSizeKnown = true;
  /** What the view says the size is, when that is a lie. */
  declaredBytes: number | undefined;
  /** Exclusive end of what can be read. */
  available: number;
  isProved = true;
  failure: Error | undefined;
  /** Thrown by readers that are asked what they have. */
  failsAtOnce: Error | undefined;
  /** Runs before a reader is opened. */
  beforeOpen: (span: BodySpan) => Promise<void> = () => Promise.resolve();
  /** Readers open before there is anything to read, as those of a transfer do. */
  opensAtOnce = false;
  /** Of a file with the bytes of the source, for readers to name; the test opens and closes it. */
  fd: number | undefined;
  /** Bytes that left by the descriptor, and bytes that were read. */
  sentBytes = 0;
  readBytes = 0;
  reads = 0;
  /** The most bytes that one read gives. */
  maxRead = Number.POSITIVE_INFINITY;
  openViews = 0;
  openReaders = 0;
  viewCloses = 0;
  readerCloses = 0;
  readonly opened: BodySpan[] = [];
  readonly #waiting = new Set<() => void>();

  constructor(source: Source, digest: Digest = digestOf(`fake ${source.sizeBytes} ${Math.random()}`)) {
    this.source = source;
    this.digest = digest;
    this.available = source.sizeBytes;
  }

  /** A blob of which nothing has come yet. */
  static pending(source: Source): FakeBlob {
    const blob = new FakeBlob(source);
    blob.available = 0;
    blob.isProved = false;
    blob.outcome = { kind: 'miss', isStored: true };
    return blob;
  }

  advance(to: number): void {
    this.available = to;
    this.wake();
  }

  fail(error: Error): void {
    this.failure = error;
    this.wake();
  }

  prove(): void {
    this.isProved = true;
    this.isSizeKnown = true;
    this.advance(this.source.sizeBytes);
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  wake(): void {
    for (const wake of this.#waiting) wake();
  }

  /** Resolves when `isReady`; rejects with the failure or the signal's reason. */
  wait(isReady: () => boolean, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const look = (): void => {
        if (signal.aborted) leave(() => reject(signal.reason as Error));
        else if (isReady()) leave(resolve);
        else if (this.failure !== undefined) leave(() => reject(this.failure ?? new Error('failed')));
      };
      const leave = (settle: () => void): void => {
        this.#waiting.delete(look);
        signal.removeEventListener('abort', look);
        settle();
      };
      this.#waiting.add(look);
      signal.addEventListener('abort', look);
      look();
    });
  }

  view(): BlobView {
    this.openViews++;
    // As of now: a view that was made without a size stays so.
    const sizeBytes = this.isSizeKnown ? (this.declaredBytes ?? this.source.sizeBytes) : undefined;
    const proved = (): boolean => this.isProved;
    const outcome = (): Outcome => this.outcome;
    return {
      digest: this.digest,
      sizeBytes,
      get outcome() {
        return outcome();
      },
      get isProved() {
        return proved();
      },
      proved: (signal) => this.wait(proved, signal),
      open: (span, signal) => this.#open(span, signal),
      close: () => {
        this.openViews--;
        this.viewCloses++;
      },
    };
  }

  async #open(span: BodySpan, signal: AbortSignal): Promise<BlobReader> {
    this.opened.push(span);
    await this.beforeOpen(span);
    const end = (): number => Math.min(span.end ?? Infinity, this.source.sizeBytes);
    if (end() > span.start && !this.opensAtOnce && this.failsAtOnce === undefined)
      await this.wait(() => this.available > span.start, signal);
    this.openReaders++;
    const fd = (): number | undefined => this.fd;
    return {
      get fd() {
        return fd();
      },
      sent: (bytes) => {
        this.sentBytes += bytes;
      },
      readable: (position, inner) => {
        if (this.failsAtOnce !== undefined) throw this.failsAtOnce;
        if (this.failure !== undefined) return Promise.reject(this.failure);
        const now = Math.min(this.available, end());
        if (now > position) return now;
        if (position >= end() && (span.end !== undefined || this.isProved)) return position;
        return this.wait(() => this.available > position || (this.isProved && position >= end()), inner).then(() =>
          Math.min(this.available, end()),
        );
      },
      read: async (buffer, offset, length, position) => {
        const count = Math.min(length, this.maxRead);
        if (position + count > Math.min(this.available, end())) throw new Error('read beyond what was promised');
        this.source.fill(buffer, offset, count, position);
        this.readBytes += count;
        this.reads += 1;
        await Promise.resolve();
        return count;
      },
      close: () => {
        this.openReaders--;
        this.readerCloses++;
      },
    };
  }
}

export interface FakeManifest {
  readonly bytes: Buffer;
  readonly mediaType: string;
  readonly outcome?: Outcome;
}

export class FakeCache implements Cache {
  /** By `upstream/repository:reference`. */
  readonly manifests = new Map<string, FakeManifest>();
  /** By `upstream/repository@digest`. */
  readonly blobs = new Map<string, FakeBlob>();
  readonly manifestQueries: ManifestQuery[] = [];
  readonly blobQueries: BlobQuery[] = [];
  readonly tagsQueries: TagsQuery[] = [];
  readonly referrersQueries: ReferrersQuery[] = [];
  readonly catalogQueries: CatalogQuery[] = [];
  tagsAnswer: TagsAnswer = { tags: [], next: undefined, outcome: { kind: 'miss' } };
  referrersAnswer: ReferrersAnswer = { manifests: [], next: undefined, isFiltered: false, outcome: { kind: 'miss' } };
  catalogAnswer: CatalogAnswer = { repositories: [], next: undefined };
  /** Thrown by every call, when set. */
  error: Error | undefined;
  /** Runs before every answer. */
  before: (signal: AbortSignal) => Promise<void> = () => Promise.resolve();

  get questions(): number {
    return (
      this.manifestQueries.length + this.blobQueries.length + this.tagsQueries.length + this.referrersQueries.length
    );
  }

  addManifest(repository: string, tag: string, manifest: FakeManifest): Digest {
    const digest = digestOf(manifest.bytes);
    this.manifests.set(`${repository}:${tag}`, manifest);
    this.manifests.set(`${repository}:${digest}`, manifest);
    return digest;
  }

  addBlob(repository: string, blob: FakeBlob): FakeBlob {
    this.blobs.set(`${repository}@${blob.digest}`, blob);
    return blob;
  }

  async manifest(query: ManifestQuery, signal: AbortSignal): Promise<ManifestAnswer> {
    this.manifestQueries.push(query);
    await this.#enter(signal);
    const found = this.manifests.get(`${query.upstream}/${query.repository}:${referenceText(query.reference)}`);
    if (found === undefined) throw new CacheError('manifestUnknown', query.upstream, 'manifest unknown');
    return {
      digest: digestOf(found.bytes),
      mediaType: found.mediaType,
      sizeBytes: found.bytes.length,
      bytes: query.method === 'get' ? found.bytes : undefined,
      outcome: found.outcome ?? { kind: 'hit' },
    };
  }

  async blob(query: BlobQuery, signal: AbortSignal): Promise<BlobView> {
    this.blobQueries.push(query);
    await this.#enter(signal);
    const found = this.blobs.get(`${query.upstream}/${query.repository}@${query.digest}`);
    if (found === undefined) throw new CacheError('blobUnknown', query.upstream, 'blob unknown');
    return found.view();
  }

  async tags(query: TagsQuery, signal: AbortSignal): Promise<TagsAnswer> {
    this.tagsQueries.push(query);
    await this.#enter(signal);
    return this.tagsAnswer;
  }

  async referrers(query: ReferrersQuery, signal: AbortSignal): Promise<ReferrersAnswer> {
    this.referrersQueries.push(query);
    await this.#enter(signal);
    return this.referrersAnswer;
  }

  async catalog(query: CatalogQuery): Promise<CatalogAnswer> {
    this.catalogQueries.push(query);
    if (this.error !== undefined) throw this.error;
    return this.catalogAnswer;
  }

  /** Nothing is leased unless a test says so. */
  peek: Cache['peek'] = () => Promise.resolve(undefined);

  async #enter(signal: AbortSignal): Promise<void> {
    await this.before(signal);
    if (this.error !== undefined) throw this.error;
  }
}
