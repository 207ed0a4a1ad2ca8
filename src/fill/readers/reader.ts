/**
 * One client following one span of a growing ingest. A slow reader costs itself only: it reads from the file at its own
 * pace, and a late one starts at its own offset.
 */
import { abortable } from '../../lib/abort.ts';
import type { Repository } from '../../oci/reference.ts';
import type { BlobReader, BodySpan } from '../contract/blob-view.ts';
import { BrokenBodyError } from '../contract/errors.ts';
import type { CacheEvents } from '../contract/events.ts';
import type { Attempt } from '../attempt/attempt.ts';
import type { TailReader } from './passthrough-reader.ts';
import type { Follower, Demand } from '../attempt/demand.ts';

/** Ranges longer than this wait for the proof like whole bodies do; shorter ones are for clients that check chunks themselves. */
export const maxUnprovedRangeBytes = 4 * 1024 * 1024;

export interface FillReaderOptions {
  readonly attempt: Attempt;
  readonly demand: Demand;
  readonly span: BodySpan;
  /** What the head that the client got said about the whole blob. */
  readonly declaredBytes: number | undefined;
  readonly repository: Repository;
  readonly events: CacheEvents;
  /** The attempt that follows a broken one, when there is one. */
  readonly successor: (broken: Attempt) => Promise<Attempt> | undefined;
  /** A transfer of its own from `position`, for when the store takes no more. */
  readonly openTail: (attempt: Attempt, span: BodySpan, position: number) => Promise<TailReader>;
}

export class FillReader implements BlobReader, Follower {
  readonly #options: FillReaderOptions;
  readonly #isRanged: boolean;
  readonly #isWithheld: boolean;
  #attempt: Attempt;
  #tail: TailReader | undefined;
  #hasRead = false;
  #isClosed = false;
  position: number;

  constructor(options: FillReaderOptions) {
    const { attempt, span, declaredBytes, demand } = options;
    this.#options = options;
    this.#attempt = attempt;
    this.position = span.start;
    this.#isRanged = span.start > 0 || span.end !== declaredBytes;
    this.#isWithheld = !isShortRange(span, declaredBytes);
    attempt.hold();
    if (this.#isRanged) demand.add(this);
    attempt.touch();
  }

  get end(): number {
    return this.#options.span.end ?? Infinity;
  }

  /** A tail has no file. */
  get fd(): number | undefined {
    return this.#tail === undefined ? this.#attempt.file.fd : undefined;
  }

  readable(position: number, signal: AbortSignal): number | Promise<number> {
    this.position = position;
    if (this.#tail !== undefined) return this.#tail.readable(position, signal);
    const now = this.#available(position);
    return now > position || this.#isEnd(position) ? now : this.#wait(position, signal);
  }

  async read(buffer: Uint8Array, offset: number, length: number, position: number): Promise<number> {
    this.#hasRead = true;
    if (this.#tail !== undefined) return this.#tail.read(buffer, offset, length, position);
    const count = await this.#attempt.file.read(buffer, offset, length, position);
    if (count === 0) throw new BrokenBodyError(`the ingest ends at ${position}`);
    this.#count(count);
    return count;
  }

  sent(bytes: number): void {
    this.#hasRead = true;
    this.#count(bytes);
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#options.demand.remove(this);
    this.#tail?.close();
    this.#attempt.release();
  }

  #count(bytes: number): void {
    if (this.#attempt.state !== 'proved')
      this.#options.events.unprovedRangeBytes({ bytes: this.#isWithheld ? 0 : bytes });
  }

  #isEnd(position: number): boolean {
    const { span } = this.#options;
    if (span.end !== undefined) return position >= span.end;
    return this.#attempt.state === 'proved' && position >= (this.#attempt.sizeBytes ?? 0);
  }

  /** The end of what may be read now; `position` when that is nothing. */
  #available(position: number): number {
    const { span, declaredBytes } = this.#options;
    const attempt = this.#attempt;
    const { sizeBytes } = attempt;
    if (declaredBytes !== undefined && sizeBytes !== undefined && declaredBytes !== sizeBytes) {
      throw new BrokenBodyError(`the blob has ${sizeBytes} bytes, and ${declaredBytes} were announced`);
    }
    if (attempt.state === 'proved') return span.end ?? sizeBytes ?? position;
    // Nobody gets more of bytes that were given up: they may be wrong.
    if (attempt.state === 'broken') return position;
    const end = this.#isRanged ? attempt.pieces.readableEnd(position) : attempt.wholeLimit(position);
    return Math.max(position, Math.min(end, this.#limit));
  }

  /** There are bytes to read here, and all that is missing is that the hash comes nearer. */
  #waitsForHash(position: number): boolean {
    return !this.#isRanged && Math.min(this.#attempt.pieces.readableEnd(position), this.#limit) > position;
  }

  /** Where this reader must stop as long as nothing is proved. */
  get #limit(): number {
    return this.end - (this.#isWithheld ? 1 : 0);
  }

  async #wait(position: number, signal: AbortSignal): Promise<number> {
    for (;;) {
      signal.throwIfAborted();
      if (this.#isClosed) throw new BrokenBodyError('the reader was closed');
      const attempt = this.#attempt;
      const { sequence } = attempt.watermark;
      const now = this.#available(position);
      if (now > position || this.#isEnd(position)) return now;
      if (attempt.state === 'broken') {
        await this.#follow(attempt, signal);
        continue;
      }
      if (attempt.state === 'frozen' && !this.#waitsForHash(position)) {
        this.#tail = await this.#options.openTail(attempt, this.#options.span, position);
        if (this.#isClosed) this.#tail.close();
        return this.#tail.readable(position, signal);
      }
      // A reader of the whole needs nothing before the prefix grows; others may be served by any piece.
      if (!this.#isRanged && position >= attempt.watermark.position) await attempt.watermark.past(position, signal);
      else await attempt.watermark.changed(sequence, signal);
    }
  }

  /** A reader that was given no byte yet moves on to the next attempt; any other one must be reset. */
  async #follow(broken: Attempt, signal: AbortSignal): Promise<void> {
    const next = this.#hasRead ? undefined : this.#options.successor(broken);
    if (next === undefined) throw broken.failure ?? new BrokenBodyError('the transfer was given up');
    const attempt = await abortable(next, signal);
    if (this.#isClosed) return;
    attempt.hold();
    broken.release();
    this.#attempt = attempt;
  }
}

/**
 * True for a 206 that may leave before the blob is proved: short, and nothing that could be taken for the blob. A start
 * without its end cannot be (stargz-snapshotter asks for the first two bytes of every layer before anything else); one
 * whose end is not known to lie before the blob's might be.
 */
export function isShortRange(span: BodySpan, declaredBytes: number | undefined): boolean {
  const { start, end } = span;
  if (end === undefined || span.isHeldBack === true || end - start > maxUnprovedRangeBytes) return false;
  return start > 0 || (declaredBytes !== undefined && end < declaredBytes);
}

/**
 * True for a 206 of a blob that is passed through that may leave unproved: every one that is not all of it. It costs its own
 * bytes and no others; whoever resumes hashes the whole himself.
 */
export function isPart(span: BodySpan, declaredBytes: number | undefined): boolean {
  const { start, end } = span;
  if (end === undefined || span.isHeldBack === true) return false;
  return start > 0 || (declaredBytes !== undefined && end < declaredBytes);
}
