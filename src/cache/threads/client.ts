/**
 * The façade on a thread that serves clients: asks the owner for everything but bytes, which it reads from the owner's
 * files by descriptors of its own.
 */
import type { MessagePort } from 'node:worker_threads';
import { PortCaller } from '../../lib/threads/calls.ts';
import type {
  BlobQuery,
  Cache,
  CatalogAnswer,
  CatalogQuery,
  LeasedAnswer,
  ManifestAnswer,
  ManifestQuery,
  PeekQuery,
  ReferrersAnswer,
  ReferrersQuery,
  TagsAnswer,
  TagsQuery,
} from '../contract/cache.ts';
import type { BlobReader, BlobView, BodySpan } from '../../fill/contract/blob-view.ts';
import { openIdentified, type IdentifiedFile } from '../../store/files/shared-between-threads.ts';
import type { CacheCalls, RemoteOpened, RemoteReadable, RemoteView } from './host.ts';
import { BrokenBodyError } from '../../fill/contract/errors.ts';
import { remoteErrors } from './errors.ts';

type Calls = PortCaller<CacheCalls>;

/** Most that is asked of the owner in one read, where there is no file. */
const remoteReadBytes = 256 * 1024;

export class RemoteCache implements Cache {
  readonly #calls: Calls;

  constructor(port: MessagePort) {
    this.#calls = new PortCaller<CacheCalls>(port, remoteErrors, (name, value) => this.#orphaned(name, value));
  }

  async manifest(query: ManifestQuery, signal: AbortSignal): Promise<ManifestAnswer> {
    const { body, ...answer } = await this.#calls.call('manifest', query, signal);
    return body === undefined ? answer : { ...answer, body: new View(this.#calls, body) };
  }

  async tags(query: TagsQuery, signal: AbortSignal): Promise<TagsAnswer> {
    return this.#list(await this.#calls.call('tags', query, signal));
  }

  async referrers(query: ReferrersQuery, signal: AbortSignal): Promise<ReferrersAnswer> {
    return this.#list(await this.#calls.call('referrers', query, signal));
  }

  async catalog(query: CatalogQuery, signal: AbortSignal): Promise<CatalogAnswer> {
    return this.#list(await this.#calls.call('catalog', query, signal));
  }

  #list<T extends { readonly items: RemoteView | undefined }>({ items, ...answer }: T) {
    return items === undefined ? answer : { ...answer, items: new View(this.#calls, items) };
  }

  async peek(query: PeekQuery): Promise<LeasedAnswer | undefined> {
    return this.#calls.call('peek', query).catch(() => undefined);
  }

  async blob(query: BlobQuery, signal: AbortSignal): Promise<BlobView> {
    return new View(this.#calls, await this.#calls.call('blob', query, signal));
  }

  /** The client left before the answer came: nobody else will give back what the owner holds for it. */
  #orphaned(name: string, value: unknown): void {
    const { body, items } = (value ?? {}) as { readonly body?: RemoteView; readonly items?: RemoteView };
    const view = name === 'blob' ? (value as RemoteView) : (body ?? items);
    if (view !== undefined) this.#calls.tell('closeView', view.view);
    if (name === 'open') this.#calls.tell('closeReader', (value as RemoteOpened).reader);
  }
}

class View implements BlobView {
  readonly digest;
  readonly sizeBytes;
  outcome;
  isProved: boolean;
  readonly #calls: Calls;
  readonly #id: number;
  #isClosed = false;

  constructor(calls: Calls, { view, digest, sizeBytes, outcome, isProved }: RemoteView) {
    this.#calls = calls;
    this.#id = view;
    this.digest = digest;
    this.sizeBytes = sizeBytes;
    this.outcome = outcome;
    this.isProved = isProved;
  }

  async proved(signal: AbortSignal): Promise<void> {
    await this.#calls.call('proved', this.#id, signal);
    this.isProved = true;
  }

  async open(span: BodySpan, signal: AbortSignal): Promise<BlobReader> {
    const {
      reader,
      readable,
      outcome,
      isProved: isProvedNow,
    } = await this.#calls.call('open', { view: this.#id, span }, signal);
    this.outcome = outcome;
    this.isProved = isProvedNow;
    const opened = new Reader(this.#calls, reader, span, (isProved) => (this.isProved = isProved));
    try {
      if (readable !== undefined) await opened.take(readable);
      return opened;
    } catch (error) {
      opened.close();
      throw error;
    }
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#calls.tell('closeView', this.#id);
  }
}

class Reader implements BlobReader {
  readonly #calls: Calls;
  readonly #id: number;
  readonly #span: BodySpan;
  readonly #onProved: (isProved: boolean) => void;
  #end: number;
  #file: IdentifiedFile | undefined;
  /** Sent from the file since the owner was told last. */
  #untold = 0;
  #isClosed = false;

  constructor(calls: Calls, id: number, span: BodySpan, onProved: (isProved: boolean) => void) {
    this.#calls = calls;
    this.#id = id;
    this.#span = span;
    this.#onProved = onProved;
    this.#end = span.start;
  }

  get fd(): number | undefined {
    return this.#file?.fd;
  }

  readable(position: number, signal: AbortSignal): number | Promise<number> {
    if (position < this.#end || position === this.#span.end) return this.#end;
    return this.#ask(position, signal);
  }

  async read(buffer: Uint8Array, offset: number, length: number, position: number): Promise<number> {
    if (this.#file !== undefined) {
      const count = await this.#file.read(buffer, offset, length, position);
      if (count === 0) throw new BrokenBodyError(`the file ends at ${position}`);
      this.sent(count);
      return count;
    }
    const wanted = { reader: this.#id, position, length: Math.min(length, remoteReadBytes) };
    const bytes = await this.#calls.call('read', wanted);
    buffer.set(bytes, offset);
    return bytes.byteLength;
  }

  sent(bytes: number): void {
    this.#untold += bytes;
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#tellSent();
    this.#file?.close();
    this.#calls.tell('closeReader', this.#id);
  }

  /** What the owner says can be read now. */
  async take({ end, file, isProved }: RemoteReadable): Promise<boolean> {
    this.#onProved(isProved);
    if (file === undefined) {
      this.#file?.close();
      this.#file = undefined;
    } else if (this.#file === undefined) {
      const opened = await openIdentified(file);
      if (opened === undefined) return false;
      if (this.#isClosed) {
        opened.close();
        throw new BrokenBodyError('the reader was closed');
      }
      this.#file = opened;
    }
    this.#end = end;
    return true;
  }

  async #ask(position: number, signal: AbortSignal): Promise<number> {
    this.#tellSent();
    const readable = await this.#calls.call('readable', { reader: this.#id, position }, signal);
    if (!(await this.take(readable))) throw new BrokenBodyError('the file of these bytes has gone');
    return this.#end;
  }

  #tellSent(): void {
    if (this.#untold === 0) return;
    this.#calls.tell('sent', { reader: this.#id, bytes: this.#untold });
    this.#untold = 0;
  }
}
