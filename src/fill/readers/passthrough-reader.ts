/**
 * A reader without an ingest: its bytes come from an upstream transfer of its own, because the store cannot take them. A
 * whole body is hashed on its way, and its last byte waits for the proof, exactly as in a fill.
 */
import { abortable } from '../../lib/abort.ts';
import type { Digest, Hasher } from '../../oci/digest.ts';
import type { BlobBody } from '../../upstream/contract/upstream.ts';
import type { BlobReader, BodySpan } from '../contract/blob-view.ts';
import { type BodySource, resumedBody } from '../download/resume.ts';
import { BrokenBodyError } from '../contract/errors.ts';
import type { CacheEvents } from '../contract/events.ts';

export interface TailOptions {
  readonly source: BodySource;
  /** What the client gets. */
  readonly span: BodySpan;
  /** Where the transfer begins: the span's start, or earlier when the bytes before it must be hashed. */
  readonly from: number;
  /** The hash of `[0, from)`, to be continued and compared with `digest`; undefined for a part, which nobody can prove. */
  readonly hash: Hasher | undefined;
  readonly digest: Digest;
  readonly sizeBytes: number | undefined;
  /** A body that begins at `from` already. */
  readonly opened?: BlobBody;
  readonly events: Pick<CacheEvents, 'unprovedRangeBytes'>;
}

export class TailReader implements BlobReader {
  readonly #options: TailOptions;
  readonly #control = new AbortController();
  readonly #chunks: AsyncGenerator<Uint8Array, void, void>;
  #chunk: Uint8Array = new Uint8Array(0);
  #chunkStart: number;
  /** Where the transfer stands. */
  #received: number;
  #isFinished = false;
  #pulling: Promise<void> | undefined;

  constructor(options: TailOptions) {
    const { source, from, span, hash, sizeBytes, opened } = options;
    this.#options = options;
    this.#chunkStart = from;
    this.#received = from;
    // A hashed transfer must see every byte; a short range ends where its client's does.
    const end = hash === undefined ? span.end : sizeBytes;
    const bodyRange = { start: from, end: () => end, ...(opened === undefined ? {} : { opened }) };
    this.#chunks = resumedBody(source, bodyRange, this.#control.signal);
  }

  readable(position: number, signal: AbortSignal): number | Promise<number> {
    const now = this.#available(position);
    return now > position || this.#isEnd(position) ? now : this.#wait(position, signal);
  }

  read(buffer: Uint8Array, offset: number, length: number, position: number): Promise<number> {
    const start = position - this.#chunkStart;
    const part = this.#chunk.subarray(start, start + length);
    buffer.set(part, offset);
    const { hash, events } = this.#options;
    if (hash === undefined) events.unprovedRangeBytes({ bytes: part.byteLength });
    return Promise.resolve(part.byteLength);
  }

  close(): void {
    this.#control.abort(new BrokenBodyError('the reader left'));
    // Owned here: ends a transfer that is waiting for its next reader; what it fails with concerns nobody any more.
    void this.#chunks.return().catch(() => undefined);
    // A generator that was never asked for anything does not even begin, and would leave this open.
    this.#options.opened?.abort();
  }

  #isEnd(position: number): boolean {
    return position === this.#options.span.end || (this.#isFinished && position >= this.#chunkEnd);
  }

  get #chunkEnd(): number {
    return this.#chunkStart + this.#chunk.byteLength;
  }

  #available(position: number): number {
    if (position < this.#chunkStart) return position;
    const end = Math.min(this.#chunkEnd, this.#options.span.end ?? Infinity);
    const withheld = this.#options.hash !== undefined && !this.#isFinished && end === this.#options.span.end ? 1 : 0;
    return Math.max(position, end - withheld);
  }

  async #wait(position: number, signal: AbortSignal): Promise<number> {
    for (;;) {
      signal.throwIfAborted();
      const now = this.#available(position);
      if (now > position || this.#isEnd(position)) return now;
      this.#pulling ??= this.#pull().finally(() => {
        this.#pulling = undefined;
      });
      await abortable(this.#pulling, signal);
    }
  }

  async #pull(): Promise<void> {
    const { hash, digest, sizeBytes, span } = this.#options;
    const next = await this.#chunks.next();
    if (next.done === true) {
      const isRight =
        hash === undefined || (hash.digest() === digest && this.#received === (sizeBytes ?? this.#received));
      if (!isRight) throw new BrokenBodyError(`the upstream sent other bytes than ${digest}`);
      this.#isFinished = true;
      return;
    }
    hash?.update(next.value);
    this.#received += next.value.byteLength;
    // The chunk with the client's last byte stays until the proof; what comes behind it is only hashed.
    if (this.#chunkEnd >= (span.end ?? Infinity)) return;
    this.#chunkStart = this.#chunkEnd;
    this.#chunk = next.value;
  }
}
