/** Which parts of one answer are read together. */
import type { BodySpan } from '../../fill/contract/blob-view.ts';
import { inList, type SpanList } from '../../headers/packed-ranges.ts';
import { smallBufferBytes } from '../body/buffer-pool.ts';

/** `count` parts from `first` on, in the order of the answer, and the place in the blob that holds them all. */
export interface PartGroup {
  readonly first: number;
  readonly count: number;
  readonly span: BodySpan;
}

/**
 * Parts that follow each other in the answer and lie close together in the blob become one group, as long as all of it fits
 * into a small buffer: so a thousand places in one neighbourhood, or one place a thousand times, are one read. `isExact`:
 * nothing is read that is not sent, so each part is a group by itself.
 *
 * Found anew each time, from the first part of the group: a thousand of them would be held as long as a client takes.
 */
export function groupFrom(parts: SpanList<BodySpan>, first: number, isExact: boolean): PartGroup | undefined {
  let count = 0;
  let span: BodySpan | undefined;
  for (const part of inList(parts, first)) {
    const joined = span === undefined ? part : isExact ? undefined : hullOf(span, part);
    if (joined === undefined) break;
    span = joined;
    count += 1;
  }
  return span && { first, count, span };
}

/** Everything between the first byte of the parts from `from` on and the last one. */
export function everythingFrom(parts: SpanList<BodySpan>, from: number): BodySpan {
  let [start, last] = [Infinity, 0];
  for (const span of inList(parts, from)) {
    start = Math.min(start, span.start);
    last = Math.max(last, span.end ?? Infinity);
  }
  return { start, end: last === Infinity ? undefined : last };
}

/** Undefined when it is too long to be read at once. */
function hullOf(one: BodySpan, other: BodySpan): BodySpan | undefined {
  const start = Math.min(one.start, other.start);
  const end = Math.max(one.end ?? Infinity, other.end ?? Infinity);
  if (end - start > smallBufferBytes) return undefined;
  // What has to wait for the proof makes everybody in its group wait.
  return one.isHeldBack === true || other.isHeldBack === true ? { start, end, isHeldBack: true } : { start, end };
}
