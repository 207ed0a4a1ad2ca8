/**
 * The readers of an answer's parts, in order. A blob that is proved has one reader for all of them: opening a file a thousand
 * times costs a thousand times as much. While a blob is still on its way, a reader is also a want (fill/attempt/demand.ts), so each
 * group of parts has its own, and the next few are opened ahead: a client that asks for a thousand places at once does not
 * wait for one round trip upstream after the other.
 */
import type { BlobReader, BlobView, BodySpan } from '../../fill/contract/blob-view.ts';
import { everythingOf, groupsOf, type PartGroup } from './part-groups.ts';

/** Readers at once, the one that is being read included. As many as a fill uses connections by default. */
const mostAhead = 8;

export class PartReaders implements Disposable {
  readonly #view: BlobView;
  readonly #spans: readonly BodySpan[];
  readonly #signal: AbortSignal;
  #groups: readonly PartGroup[];
  /** Of the group that is next, and of those behind it. */
  readonly #readers: Promise<BlobReader>[] = [];
  /** Of all groups that are left. */
  #shared: Promise<BlobReader> | undefined;
  #opened = 0;

  constructor(view: BlobView, spans: readonly BodySpan[], signal: AbortSignal) {
    this.#view = view;
    this.#spans = spans;
    this.#signal = signal;
    this.#groups = this.#group();
  }

  /** What is read together, in the order of the answer. Final when `first` has resolved. */
  get groups(): readonly PartGroup[] {
    return this.#groups;
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
    if (!this.#view.isProved || this.#opened === this.#groups.length - 1) return this.#openNext();
    this.#shared = this.#openShared();
    return this.#shared;
  }

  /** The same; those of the groups behind it are opened where they are worth it. The head must be out: see `FillView.open`. */
  current(): Promise<BlobReader> {
    const current = this.first();
    while (!this.#view.isProved && this.#readers.length < mostAhead && this.#opened < this.#groups.length) {
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

  /** What is passed through costs the upstream what is read of it. */
  #group(): readonly PartGroup[] {
    return groupsOf(this.#spans, this.#view.outcome.kind === 'bypass');
  }

  #openNext(): Promise<BlobReader> {
    const group = this.#groups[this.#opened];
    if (group === undefined) return Promise.reject(new Error('there are no more parts'));
    this.#opened += 1;
    const reader = this.#view.open(group.span, this.#signal);
    this.#readers.push(reader);
    return reader;
  }

  async #openShared(): Promise<BlobReader> {
    const reader = await this.#view.open(
      everythingOf(this.#groups.slice(this.#opened).map(({ span }) => span)),
      this.#signal,
    );
    if (this.#view.isProved) return reader;
    // It has to be brought again (StoredView), and what lies between the parts is not wanted.
    this.#shared = undefined;
    if (this.#opened === 0) this.#groups = this.#group();
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
