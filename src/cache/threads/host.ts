/**
 * The owner's side of a façade on another thread: answers its calls with plain values, and holds what its clients read.
 * When the thread is gone, `close` lets go of everything that it held.
 *
 * Bytes do not pass here where they lie in a file: the thread reads that by itself, while this side holds the reader, and
 * with it the descriptor that the thread opened it by.
 */
import type { MessagePort } from 'node:worker_threads';
import { answerCalls } from '../../lib/threads/calls.ts';
import type { Digest } from '../../oci/digest.ts';
import { type FileIdentity, identityOf } from '../../store/files/shared-between-threads.ts';
import type {
  BlobQuery,
  Cache,
  CatalogQuery,
  ManifestQuery,
  PeekQuery,
  ReferrersQuery,
  TagsQuery,
} from '../contract/cache.ts';
import type { BlobReader, BlobView, BodySpan } from '../../fill/contract/blob-view.ts';
import { BrokenBodyError } from '../../fill/contract/errors.ts';
import type { Outcome } from '../../headers/cache-status.ts';
import { remoteErrors } from './errors.ts';

export interface RemoteView {
  readonly view: number;
  readonly digest: Digest;
  readonly sizeBytes: number | undefined;
  readonly outcome: Outcome;
  readonly isProved: boolean;
}

export interface RemoteReadable {
  /** Exclusive end of what can be read now. */
  readonly end: number;
  /** Where it lies; undefined when it must be read through the owner. */
  readonly file: FileIdentity | undefined;
  readonly isProved: boolean;
}

export interface RemoteOpened {
  readonly reader: number;
  /** Of the view, as it turned out. */
  readonly outcome: Outcome;
  readonly isProved: boolean;
  /** What can be read at once; undefined when nothing can yet. */
  readonly readable: RemoteReadable | undefined;
}

interface Reading {
  readonly reader: BlobReader;
  readonly view: BlobView;
}

/** What the thread may call; `RemoteCache` does. */
export type CacheCalls = ReturnType<CacheHost['handlers']>;

export class CacheHost implements Disposable {
  readonly #cache: Cache;
  readonly #views = new Map<number, BlobView>();
  readonly #readings = new Map<number, Reading>();
  readonly #port: Disposable;
  #lastId = 0;
  #isClosed = false;

  constructor(cache: Cache, port: MessagePort) {
    this.#cache = cache;
    this.#port = answerCalls(port, this.handlers(), remoteErrors);
  }

  /** Views and readers that the thread holds. */
  get held(): number {
    return this.#views.size + this.#readings.size;
  }

  /** The thread is gone, or has been told to forget: drops all that it held. Idempotent. */
  [Symbol.dispose](): void {
    this.#isClosed = true;
    this.#port[Symbol.dispose]();
    for (const { reader } of this.#readings.values()) reader.close();
    for (const view of this.#views.values()) view.close();
    this.#readings.clear();
    this.#views.clear();
  }

  handlers() {
    const cache = this.#cache;
    return {
      manifest: async (query: ManifestQuery, signal: AbortSignal) => {
        const { body, ...answer } = await cache.manifest(query, signal);
        return { ...answer, body: body === undefined ? undefined : this.#hold(body, signal) };
      },
      tags: async (query: TagsQuery, signal: AbortSignal) => this.#list(await cache.tags(query, signal), signal),
      referrers: async (query: ReferrersQuery, signal: AbortSignal) =>
        this.#list(await cache.referrers(query, signal), signal),
      catalog: async (query: CatalogQuery, signal: AbortSignal) =>
        this.#list(await cache.catalog(query, signal), signal),
      peek: (query: PeekQuery, _signal: AbortSignal) => cache.peek(query),
      blob: (query: BlobQuery, signal: AbortSignal) => this.#blob(query, signal),
      proved: (view: number, signal: AbortSignal) => this.#view(view).proved(signal),
      open: ({ view, span }: { view: number; span: BodySpan }, signal: AbortSignal) => this.#open(view, span, signal),
      readable: ({ reader, position }: { reader: number; position: number }, signal: AbortSignal) =>
        this.#readable(reader, position, signal),
      read: (at: { reader: number; position: number; length: number }, _signal: AbortSignal) => this.#read(at),
      sent: ({ reader, bytes }: { reader: number; bytes: number }, _signal: AbortSignal) =>
        this.#readings.get(reader)?.reader.sent?.(bytes),
      closeReader: (reader: number, _signal: AbortSignal) => this.#closeReader(reader),
      closeView: (view: number, _signal: AbortSignal) => this.#closeView(view),
    };
  }

  async #blob(query: BlobQuery, signal: AbortSignal): Promise<RemoteView> {
    return this.#hold(await this.#cache.blob(query, signal), signal);
  }

  #list<T extends { readonly items?: BlobView }>({ items, ...answer }: T, signal: AbortSignal) {
    return { ...answer, items: items === undefined ? undefined : this.#hold(items, signal) };
  }

  #hold(view: BlobView, signal: AbortSignal): RemoteView {
    // Whoever asked may have left while the answer came.
    if (this.#isClosed || signal.aborted) {
      view.close();
      throw new BrokenBodyError('nobody waits for this');
    }
    const id = ++this.#lastId;
    this.#views.set(id, view);
    const { digest, sizeBytes, outcome, isProved } = view;
    return { view: id, digest, sizeBytes, outcome, isProved };
  }

  async #open(viewId: number, span: BodySpan, signal: AbortSignal): Promise<RemoteOpened> {
    const view = this.#view(viewId);
    const reader = await view.open(span, signal);
    if (this.#isClosed || signal.aborted || !this.#views.has(viewId)) {
      reader.close();
      throw new BrokenBodyError('nobody waits for these bytes');
    }
    const id = ++this.#lastId;
    this.#readings.set(id, { reader, view });
    try {
      const end = reader.readable(span.start, signal);
      const { outcome, isProved } = view;
      const opened = { reader: id, outcome, isProved };
      if (typeof end === 'number') return { ...opened, readable: this.#promise({ reader, view }, end) };
      // It will be asked again, with a signal of its own; what becomes of this question does not matter.
      end.catch(() => undefined);
      return { ...opened, readable: undefined };
    } catch (error) {
      // Nobody has heard of it who could close it.
      this.#closeReader(id);
      throw error;
    }
  }

  async #readable(reader: number, position: number, signal: AbortSignal): Promise<RemoteReadable> {
    const reading = this.#reading(reader);
    return this.#promise(reading, await reading.reader.readable(position, signal));
  }

  async #read({ reader, position, length }: { reader: number; position: number; length: number }): Promise<Uint8Array> {
    const buffer = new Uint8Array(length);
    const count = await this.#reading(reader).reader.read(buffer, 0, length, position);
    return count === length ? buffer : buffer.slice(0, count);
  }

  /** From now on the thread may have sent some of it, so that this reader can follow no other generation. */
  #promise({ reader, view }: Reading, end: number): RemoteReadable {
    reader.sent?.(0);
    const { fd } = reader;
    return { end, file: fd === undefined ? undefined : identityOf(fd), isProved: view.isProved };
  }

  #closeReader(id: number): void {
    this.#readings.get(id)?.reader.close();
    this.#readings.delete(id);
  }

  #closeView(id: number): void {
    this.#views.get(id)?.close();
    this.#views.delete(id);
  }

  #view(id: number): BlobView {
    const view = this.#views.get(id);
    if (view === undefined) throw new BrokenBodyError('the view was closed');
    return view;
  }

  #reading(id: number): Reading {
    const reading = this.#readings.get(id);
    if (reading === undefined) throw new BrokenBodyError('the reader was closed');
    return reading;
  }
}
