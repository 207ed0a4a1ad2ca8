/**
 * The readers of an answer's parts, in order. A blob that is proved has one reader for all of them: opening a file a thousand
 * times costs a thousand times as much. While a blob is still on its way, a reader is also a want (fill/attempt/demand.ts), so each
 * group of parts has its own, and the next few are opened ahead: a client that asks for a thousand places at once does not
 * wait for one round trip upstream after the other.
 */
import type { BlobReader, BlobView, BodySpan } from '../../fill/contract/blob-view.ts';
import type { SpanList } from '../../headers/packed-ranges.ts';
import { everythingFrom, groupFrom, type PartGroup } from './part-groups.ts';

/** Readers at once, the one that is being read included. As many as a fill uses connections by default. */
const mostAhead = 8;

export class PartReaders implements Disposable {
  readonly #view: BlobView;
  readonly #parts: SpanList<BodySpan>;
  readonly #signal: AbortSignal;
  /** What is passed through costs the upstream what is read of it. */
  #isExact: boolean;
  /** Of the group that is next, and of those behind it. */
  readonly #readers: Promise<BlobReader>[] = [];
  /** Of all groups that are left. */
  #shared: Promise<BlobReader> | undefined;
  /** The first part that has no reader. */
  #opened = 0;

  constructor(view: BlobView, parts: SpanList<BodySpan>, signal: AbortSignal) {
    this.#view = view;
    this.#parts = parts;
    this.#signal = signal;
    this.#isExact = isPassedThrough(view);
  }

  /** What is read together, from this part on; undefined behind the last one. Final when `first` has resolved. */
  groupFrom(part: number): PartGroup | undefined {
    return groupFrom(this.#parts, part, this.#isExact);
  }

  /** One reader has everything, at once. */
  get isShared(): boolean {
    return this.#shared !== undefined;
  }

  /** The reader of the group that is next, and of no other one. */
  first(): Promise<BlobReader> {
    if (this.#shared !== undefined) return this.#shared;
    const [next] = this.#readers;
    if (next !== undefined) return next;
    if (!this.#view.isProved || this.#isLast()) return this.#openNext();
    this.#shared = this.#openShared();
    return this.#shared;
  }

  /** The same; those of the groups behind it are opened where they are worth it. The head must be out: see `FillView.open`. */
  current(): Promise<BlobReader> {
    const current = this.first();
    while (!this.#view.isProved && this.#readers.length < mostAhead && this.#opened < this.#parts.length) {
      // Whoever comes to that group hears of its failure.
      this.#openNext().catch(() => undefined);
    }
    return current;
  }

  /** The group that was next is sent. */
  done(): void {
    this.#close(this.#readers.shift());
  }

  [Symbol.dispose](): void {
    this.#close(this.#shared);
    for (const reader of this.#readers.splice(0)) this.#close(reader);
  }

  /** One group is left that has no reader. */
  #isLast(): boolean {
    const { count = 0 } = this.groupFrom(this.#opened) ?? {};
    return this.#opened + count === this.#parts.length;
  }

  #openNext(): Promise<BlobReader> {
    const group = this.groupFrom(this.#opened);
    if (group === undefined) return Promise.reject(new Error('there are no more parts'));
    this.#opened += group.count;
    const reader = this.#view.open(group.span, this.#signal);
    this.#readers.push(reader);
    return reader;
  }

  async #openShared(): Promise<BlobReader> {
    const reader = await this.#view.open(everythingFrom(this.#parts, this.#opened), this.#signal);
    if (this.#view.isProved) return reader;
    // It has to be brought again (StoredView), and what lies between the parts is not wanted.
    this.#shared = undefined;
    if (this.#opened === 0) this.#isExact = isPassedThrough(this.#view);
    try {
      return await this.#openNext();
    } finally {
      reader.close();
    }
  }

  /** Owned here: one that could not be opened needs no closing. */
  #close(reader: Promise<BlobReader> | undefined): void {
    void reader?.then(
      (opened) => opened.close(),
      () => undefined,
    );
  }
}

function isPassedThrough({ outcome }: BlobView): boolean {
  return outcome.kind === 'bypass';
}
