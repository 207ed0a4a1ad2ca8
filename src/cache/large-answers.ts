/**
 * Answers that are too long to be held in memory for whoever reads them slowly: their bytes become a view on a file, as
 * those of a blob are. A manifest has its own file in the store; everything else is written to one without a name, once
 * for all who read the same bytes at the same time. Where no file can be written, memory has to do, within a bound.
 */
import { LRUCache } from 'lru-cache';
import { Semaphore } from '../lib/semaphore.ts';
import { type Digest, digestOf } from '../oci/digest.ts';
import { referenceText } from '../oci/reference.ts';
import { type BlobStore, StoreError } from '../store/contract/blob-store.ts';
import type { ScratchFile, ScratchFiles } from '../store/files/scratch.ts';
import type { Cache, ManifestAnswer, ManifestQuery, ReferrersQuery, TagsQuery } from './contract/cache.ts';
import type { BlobReader, BlobView, BodySpan } from '../fill/contract/blob-view.ts';
import { longestInMemory } from './contract/lease.ts';
import { BrokenBodyError } from '../fill/contract/errors.ts';
import type { Outcome } from '../headers/cache-status.ts';
import { StoredView } from '../fill/readers/stored-view.ts';

/** Of answers that are longer and have no file. */
const memoryBudgetBytes = 32 * 1024 * 1024;
/** Questions of which it is known that their answers are long. */
const maxRemembered = 4096;
/** Items made into text in one go. */
const sliceItems = 1000;

export interface LargeAnswersOptions {
  readonly store: Pick<BlobStore, 'stat' | 'open'>;
  /** Undefined where there is no disk. */
  readonly scratch: Pick<ScratchFiles, 'write'> | undefined;
}

/** The same cache, whose long answers have `body` or `items` instead of bytes. */
export function withLargeAnswers(cache: Cache, options: LargeAnswersOptions): Cache {
  const shared = new SharedBytes(options.scratch);
  const { store } = options;
  /** Questions whose last answer was long. */
  const long = new LRUCache<string, true>({ max: maxRemembered });
  const turns = new Map<string, Semaphore>();

  /** One long list of an upstream after the other: making one takes several times its memory for a moment. */
  async function inTurn<T>(
    upstream: string,
    question: string,
    signal: AbortSignal,
    ask: () => Promise<T & { readonly items?: BlobView }>,
  ): Promise<T & { readonly items?: BlobView }> {
    const turn = turns.get(upstream) ?? new Semaphore(1);
    turns.set(upstream, turn);
    using _turn = long.has(question) ? await turn.acquire('normal', signal) : undefined;
    const answer = await ask();
    if (answer.items === undefined) long.delete(question);
    else long.set(question, true);
    return answer;
  }

  async function manifestBody(query: ManifestQuery, answer: ManifestAnswer, bytes: Uint8Array): Promise<BlobView> {
    const { digest, outcome } = answer;
    const info = await store.stat(digest).catch(() => undefined);
    if (info === undefined || info.isSuspect || info.sizeBytes !== bytes.byteLength) {
      return shared.view(digest, bytes, outcome);
    }
    return new StoredView({ store, info, outcome, refill: refillOf(query) });
  }

  /**
   * For a manifest that was evicted since: it is asked for again. In a function of its own: what a closure is made beside,
   * it keeps, and nobody should keep the bytes who only waits.
   */
  function refillOf(query: ManifestQuery): (signal: AbortSignal) => Promise<BlobView> {
    return async (signal) => {
      const { digest, bytes, outcome } = await cache.manifest(query, signal);
      if (bytes === undefined) throw new BrokenBodyError('the manifest has gone');
      return shared.view(digest, bytes, outcome);
    };
  }

  async function itemsOf(items: readonly unknown[], outcome: Outcome): Promise<BlobView | undefined> {
    const bytes = await jsonText(items);
    if (bytes.byteLength <= longestInMemory) return undefined;
    return shared.view(digestOf(bytes), bytes, outcome);
  }

  return {
    async manifest(query, signal) {
      const answer = await cache.manifest(query, signal);
      const { bytes } = answer;
      if (bytes === undefined || bytes.byteLength <= longestInMemory) return answer;
      long.set(manifestText(query), true);
      return { ...answer, bytes: undefined, body: await manifestBody(query, answer, bytes) };
    },
    blob: (query, signal) => cache.blob(query, signal),
    tags: (query, signal) =>
      inTurn(query.upstream, tagsText(query), signal, async () => {
        const answer = await cache.tags(query, signal);
        const items = await itemsOf(answer.tags, answer.outcome);
        return items === undefined ? answer : { ...answer, tags: [], items };
      }),
    referrers: (query, signal) =>
      inTurn(query.upstream, referrersText(query), signal, async () => {
        const answer = await cache.referrers(query, signal);
        const items = await itemsOf(answer.manifests, answer.outcome);
        return items === undefined ? answer : { ...answer, manifests: [], items };
      }),
    async catalog(query, signal) {
      const answer = await cache.catalog(query, signal);
      const items = await itemsOf(answer.repositories, { kind: 'hit' });
      return items === undefined ? answer : { ...answer, repositories: [], items };
    },
    async peek(query) {
      if (query.kind === 'manifest' && query.method === 'get' && long.has(manifestText(query))) return undefined;
      const answer = await cache.peek(query);
      return (answer?.bytes?.byteLength ?? 0) > longestInMemory ? undefined : answer;
    },
  };
}

function manifestText({ upstream, repository, reference }: Omit<ManifestQuery, 'method'>): string {
  return `manifest ${upstream}/${repository} ${referenceText(reference)}`;
}

function tagsText({ upstream, repository, n, last }: TagsQuery): string {
  return `tags ${upstream}/${repository} ${n ?? ''} ${last ?? ''}`;
}

/** The whole list of a subject is made ready for any page of it. */
function referrersText({ upstream, repository, digest }: ReferrersQuery): string {
  return `referrers ${upstream}/${repository} ${digest}`;
}

/** The array as JSON, made in slices so that nobody else waits for the whole of a long one. */
async function jsonText(items: readonly unknown[]): Promise<Uint8Array> {
  const parts: Buffer[] = [];
  for (let from = 0; from < items.length; from += sliceItems) {
    if (from > 0) await new Promise<void>((resolve) => void setImmediate(resolve));
    const text = JSON.stringify(items.slice(from, from + sliceItems)).slice(1, -1);
    parts.push(Buffer.from(from === 0 ? `[${text}` : `,${text}`));
  }
  return Buffer.concat([...parts, Buffer.from(items.length === 0 ? '[]' : ']')]);
}

interface Held {
  readonly file: Promise<ScratchFile>;
  readers: number;
}

/** Bytes that several may be reading, held once. */
class SharedBytes {
  readonly #scratch: Pick<ScratchFiles, 'write'> | undefined;
  readonly #held = new Map<Digest, Held>();
  #inMemory = 0;

  constructor(scratch: Pick<ScratchFiles, 'write'> | undefined) {
    this.#scratch = scratch;
  }

  /** A view that holds the bytes of `digest` until it is closed. Rejects with StoreError. */
  async view(digest: Digest, bytes: Uint8Array, outcome: Outcome): Promise<BlobView> {
    const held = this.#held.get(digest) ?? { file: this.#write(bytes), readers: 0 };
    const close = this.#join(digest, held);
    try {
      return new ScratchView(await held.file, digest, outcome, close);
    } catch (error) {
      close();
      throw error;
    }
  }

  /** Returns what leaves again, idempotent. */
  #join(digest: Digest, held: Held): () => void {
    this.#held.set(digest, held);
    held.readers++;
    let isClosed = false;
    return () => {
      if (isClosed) return;
      isClosed = true;
      if (--held.readers > 0) return;
      if (this.#held.get(digest) === held) this.#held.delete(digest);
      // Owned here: closing never rejects, and what could not be written has nothing to close.
      void held.file.then((file) => file.close()).catch(() => undefined);
    };
  }

  async #write(bytes: Uint8Array): Promise<ScratchFile> {
    try {
      if (this.#scratch !== undefined) return await this.#scratch.write(bytes);
    } catch (error) {
      if (this.#inMemory + bytes.byteLength > memoryBudgetBytes) throw error;
    }
    if (this.#inMemory + bytes.byteLength > memoryBudgetBytes) {
      throw new StoreError('full', 'too many answers are under way');
    }
    this.#inMemory += bytes.byteLength;
    return {
      sizeBytes: bytes.byteLength,
      read: (buffer, offset, length, position) => {
        const piece = bytes.subarray(position, position + length);
        buffer.set(piece, offset);
        return Promise.resolve(piece.byteLength);
      },
      close: () => {
        this.#inMemory -= bytes.byteLength;
        return Promise.resolve();
      },
    };
  }
}

class ScratchView implements BlobView {
  readonly digest: Digest;
  readonly sizeBytes: number;
  readonly outcome: Outcome;
  readonly isProved = true;
  readonly close: () => void;
  readonly #file: ScratchFile;

  constructor(file: ScratchFile, digest: Digest, outcome: Outcome, close: () => void) {
    this.#file = file;
    this.digest = digest;
    this.sizeBytes = file.sizeBytes;
    this.outcome = outcome;
    this.close = close;
  }

  proved(): Promise<void> {
    return Promise.resolve();
  }

  open({ start, end = this.sizeBytes }: BodySpan): Promise<BlobReader> {
    const file = this.#file;
    return Promise.resolve({
      fd: file.fd,
      readable: (position) => Math.max(position, end, start),
      read: (buffer, offset, length, position) => file.read(buffer, offset, Math.min(length, end - position), position),
      close: () => undefined,
    });
  }
}
