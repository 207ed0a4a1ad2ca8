/** Which parts of one answer are read together. */
import type { BodySpan } from '../../fill/contract/blob-view.ts';
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
 */
export function groupsOf(spans: readonly BodySpan[], isExact: boolean): readonly PartGroup[] {
  const groups: PartGroup[] = [];
  for (const [index, span] of spans.entries()) {
    const last = groups.at(-1);
    const joined = last === undefined || isExact ? undefined : hullOf(last.span, span);
    if (last === undefined || joined === undefined) groups.push({ first: index, count: 1, span });
    else groups[groups.length - 1] = { ...last, count: last.count + 1, span: joined };
  }
  return groups;
}

/** Everything between the first byte of `spans` and the last one. */
export function everythingOf(spans: readonly BodySpan[]): BodySpan {
  const start = spans.reduce((least, span) => Math.min(least, span.start), Infinity);
  const end = spans.reduce((most, span) => Math.max(most, span.end ?? Infinity), 0);
  return { start, end: end === Infinity ? undefined : end };
}

/** Undefined when it is too long to be read at once. */
function hullOf(one: BodySpan, other: BodySpan): BodySpan | undefined {
  const hull = everythingOf([one, other]);
  if (hull.end === undefined || hull.end - hull.start > smallBufferBytes) return undefined;
  // What has to wait for the proof makes everybody in its group wait.
  return one.isHeldBack === true || other.isHeldBack === true ? { ...hull, isHeldBack: true } : hull;
}
