/**
 * One client following one span of a growing spool. A slow reader costs itself only: it reads from the file at its own
 * pace, and a late one starts at its own offset.
 */
import { abortable } from '../../lib/abort.ts';
import type { Repository } from '../../oci/reference.ts';
import type { BlobReader, BodySpan } from '../contract/blob-view.ts';
import { BrokenBodyError } from '../contract/errors.ts';
import type { CacheEvents } from '../contract/events.ts';
import type { Generation } from '../attempt/attempt.ts';
import type { TailReader } from './passthrough-reader.ts';
import type { Follower, Wants } from '../attempt/demand.ts';

/** Ranges longer than this wait for the proof like whole bodies do; shorter ones are for clients that check chunks themselves. */
export const maxUnprovedRangeBytes = 4 * 1024 * 1024;

export interface FillReaderOptions {
  readonly generation: Generation;
  readonly wants: Wants;
  readonly span: BodySpan;
  /** What the head that the client got said about the whole blob. */
  readonly declaredBytes: number | undefined;
  readonly repository: Repository;
  readonly events: CacheEvents;
  /** The generation that follows a broken one, when there is one. */
  readonly successor: (broken: Generation) => Promise<Generation> | undefined;
  /** A transfer of its own from `position`, for when the store takes no more. */
  readonly openTail: (generation: Generation, span: BodySpan, position: number) => Promise<TailReader>;
}

export class FillReader implements BlobReader, Follower {
  readonly #options: FillReaderOptions;
  readonly #isRanged: boolean;
  readonly #isWithheld: boolean;
  #generation: Generation;
  #tail: TailReader | undefined;
  #hasRead = false;
  #isClosed = false;
  position: number;

  constructor(options: FillReaderOptions) {
    const { generation, span, declaredBytes, wants } = options;
    this.#options = options;
    this.#generation = generation;
    this.position = span.start;
    this.#isRanged = span.start > 0 || span.end !== declaredBytes;
    this.#isWithheld = !isShortRange(span, declaredBytes);
    generation.hold();
    if (this.#isRanged) wants.add(this);
    generation.touch();
  }

  get end(): number {
    return this.#options.span.end ?? Infinity;
  }

  /** A tail has no file. */
  get descriptor(): number | undefined {
    return this.#tail === undefined ? this.#generation.file.descriptor : undefined;
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
    const count = await this.#generation.file.read(buffer, offset, length, position);
    if (count === 0) throw new BrokenBodyError(`the spool ends at ${position}`);
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
    this.#options.wants.remove(this);
    this.#tail?.close();
    this.#generation.release();
  }

  #count(bytes: number): void {
    if (this.#generation.state !== 'proved')
      this.#options.events.unprovedRangeBytes({ bytes: this.#isWithheld ? 0 : bytes });
  }

  #isEnd(position: number): boolean {
    const { span } = this.#options;
    if (span.end !== undefined) return position >= span.end;
    return this.#generation.state === 'proved' && position >= (this.#generation.sizeBytes ?? 0);
  }

  /** The end of what may be read now; `position` when that is nothing. */
  #available(position: number): number {
    const { span, declaredBytes } = this.#options;
    const generation = this.#generation;
    const { sizeBytes } = generation;
    if (declaredBytes !== undefined && sizeBytes !== undefined && declaredBytes !== sizeBytes) {
      throw new BrokenBodyError(`the blob has ${sizeBytes} bytes, and ${declaredBytes} were announced`);
    }
    if (generation.state === 'proved') return span.end ?? sizeBytes ?? position;
    // Nobody gets more of bytes that were given up: they may be wrong.
    if (generation.state === 'broken') return position;
    const end = this.#isRanged ? generation.pieces.readableEnd(position) : generation.wholeLimit(position);
    return Math.max(position, Math.min(end, this.#limit));
  }

  /** There are bytes to read here, and all that is missing is that the hash comes nearer. */
  #waitsForHash(position: number): boolean {
    return !this.#isRanged && Math.min(this.#generation.pieces.readableEnd(position), this.#limit) > position;
  }

  /** Where this reader must stop as long as nothing is proved. */
  get #limit(): number {
    return this.end - (this.#isWithheld ? 1 : 0);
  }

  async #wait(position: number, signal: AbortSignal): Promise<number> {
    for (;;) {
      signal.throwIfAborted();
      if (this.#isClosed) throw new BrokenBodyError('the reader was closed');
      const generation = this.#generation;
      const { sequence } = generation.watermark;
      const now = this.#available(position);
      if (now > position || this.#isEnd(position)) return now;
      if (generation.state === 'broken') {
        await this.#follow(generation, signal);
        continue;
      }
      if (generation.state === 'frozen' && !this.#waitsForHash(position)) {
        this.#tail = await this.#options.openTail(generation, this.#options.span, position);
        if (this.#isClosed) this.#tail.close();
        return this.#tail.readable(position, signal);
      }
      // A reader of the whole needs nothing before the prefix grows; others may be served by any piece.
      if (!this.#isRanged && position >= generation.watermark.position)
        await generation.watermark.past(position, signal);
      else await generation.watermark.changed(sequence, signal);
    }
  }

  /** A reader that was given no byte yet moves on to the next generation; any other one must be reset. */
  async #follow(broken: Generation, signal: AbortSignal): Promise<void> {
    const next = this.#hasRead ? undefined : this.#options.successor(broken);
    if (next === undefined) throw broken.failure ?? new BrokenBodyError('the transfer was given up');
    const generation = await abortable(next, signal);
    if (this.#isClosed) return;
    generation.hold();
    broken.release();
    this.#generation = generation;
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
