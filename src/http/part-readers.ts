/**
 * The readers of an answer's parts, in order. While a blob is still on its way, a reader is also a want (cache/wants.ts), so
 * the next few are opened ahead: a client that asks for a thousand places at once does not wait for one round trip upstream
 * after the other.
 */
import type { BlobReader, BlobView, BodySpan } from '../cache/blob-view.ts';

/** Readers at once, the one that is being read included. As many as a fill uses connections by default. */
const mostAhead = 8;

export class PartReaders implements Disposable {
  readonly #view: BlobView;
  readonly #spans: readonly BodySpan[];
  readonly #signal: AbortSignal;
  /** Of the part that is next, and of those behind it. */
  readonly #readers: Promise<BlobReader>[] = [];
  #opened = 0;

  constructor(view: BlobView, spans: readonly BodySpan[], signal: AbortSignal) {
    this.#view = view;
    this.#spans = spans;
    this.#signal = signal;
  }

  /** The reader of the part that is next, and of no other one. */
  first(): Promise<BlobReader> {
    return this.#readers[0] ?? this.#openNext();
  }

  /** The same; those of the parts behind it are opened where they are worth it. The head must be out: see `FillView.open`. */
  current(): Promise<BlobReader> {
    const current = this.first();
    while (!this.#view.isProved && this.#readers.length < mostAhead && this.#opened < this.#spans.length) {
      // Whoever comes to that part hears of its failure.
      this.#openNext().catch(() => undefined);
    }
    return current;
  }

  /** The part that was next is sent. */
  done(): void {
    this.#close(this.#readers.shift());
  }

  [Symbol.dispose](): void {
    for (const reader of this.#readers.splice(0)) this.#close(reader);
  }

  #openNext(): Promise<BlobReader> {
    const span = this.#spans[this.#opened];
    if (span === undefined) return Promise.reject(new Error('there are no more parts'));
    this.#opened += 1;
    const reader = this.#view.open(span, this.#signal);
    this.#readers.push(reader);
    return reader;
  }

  /** Owned here: one that could not be opened needs no closing. */
  #close(reader: Promise<BlobReader> | undefined): void {
    void reader?.then(
      (opened) => opened.close(),
      () => undefined,
    );
  }
}
