/**
 * Ranges and spans as plain numbers, two for each. A client that asks for a thousand places may take its time: as objects they
 * would be held for it in six times the memory, and be copied one by one to another thread.
 */
import type { RequestRange, Span } from './range.ts';

/** First and last; `Infinity` is the end, and a suffix is -1 and its length. Can be sent to another thread. */
export type PackedRanges = Float64Array;

export function packRanges(ranges: readonly RequestRange[]): PackedRanges {
  const packed = new Float64Array(2 * ranges.length);
  for (const [index, range] of ranges.entries()) {
    packed[2 * index] = range.kind === 'suffix' ? -1 : range.first;
    packed[2 * index + 1] = range.kind === 'closed' ? range.last : range.kind === 'open' ? Infinity : range.length;
  }
  return packed;
}

export function rangeAt(packed: PackedRanges, index: number): RequestRange | undefined {
  const first = packed[2 * index];
  const second = packed[2 * index + 1];
  if (first === undefined || second === undefined) return undefined;
  if (first < 0) return { kind: 'suffix', length: second };
  return second === Infinity ? { kind: 'open', first } : { kind: 'closed', first, last: second };
}

export function unpackRanges(packed: PackedRanges): readonly RequestRange[] {
  const ranges: RequestRange[] = [];
  for (let index = 0; 2 * index < packed.length; index++) {
    const range = rangeAt(packed, index);
    if (range !== undefined) ranges.push(range);
  }
  return ranges;
}

/** As much of an array of spans as it takes to go through them. */
export interface SpanList<T = Span> {
  readonly length: number;
  at(index: number): T | undefined;
}

export class PackedSpans implements SpanList {
  readonly #numbers: Float64Array;

  constructor(spans: readonly Span[]) {
    this.#numbers = new Float64Array(2 * spans.length);
    for (const [index, { start, end }] of spans.entries()) this.#numbers.set([start, end], 2 * index);
  }

  get length(): number {
    return this.#numbers.length / 2;
  }

  at(index: number): Span | undefined {
    const start = this.#numbers[2 * index];
    const end = this.#numbers[2 * index + 1];
    return start === undefined || end === undefined ? undefined : { start, end };
  }
}

export function* inList<T>(list: SpanList<T>, from = 0): Generator<T> {
  for (let index = from; index < list.length; index++) {
    const one = list.at(index);
    if (one !== undefined) yield one;
  }
}
