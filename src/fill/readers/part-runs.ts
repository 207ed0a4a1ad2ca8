/**
 * The parts of one answer that is passed through. Those that follow each other without a gap share one transfer: asking for
 * each of a thousand would cost a thousand questions.
 */
import type { BlobReader, BodySpan } from '../contract/blob-view.ts';

export interface Run {
  readonly start: number;
  readonly end: number | undefined;
}

/** Stretches of parts that touch, in the order in which they are sent; each part has its run's at its place. */
export function runsOf(spans: readonly BodySpan[]): readonly Run[] {
  const runs: { start: number; end: number | undefined }[] = [];
  return spans.map(({ start, end }) => {
    const last = runs.at(-1);
    const run = last !== undefined && last.end === start ? last : { start, end };
    run.end = end;
    if (run !== last) runs.push(run);
    return run;
  });
}

/** One transfer for parts that are read one after the other, each through a reader of its own. */
export class SharedTail {
  readonly #tail: BlobReader;
  #left: number;

  /** Closes `tail` when so many readers are closed. */
  constructor(tail: BlobReader, readers: number) {
    this.#tail = tail;
    this.#left = readers;
  }

  reader({ end = Infinity }: BodySpan): BlobReader {
    let isClosed = false;
    const clip = (to: number): number => Math.min(to, end);
    return {
      readable: (position, signal) => {
        if (position === end) return end;
        const now = this.#tail.readable(position, signal);
        return typeof now === 'number' ? clip(now) : now.then(clip);
      },
      read: (buffer, offset, length, position) => this.#tail.read(buffer, offset, length, position),
      close: () => {
        if (isClosed) return;
        isClosed = true;
        this.#left -= 1;
        if (this.#left === 0) this.#tail.close();
      },
    };
  }

  close(): void {
    this.#tail.close();
  }
}
