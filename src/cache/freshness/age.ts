/**
 * How old a remembered answer is, whatever the wall clock does.
 *
 * Inside one process the age is measured with the monotonic clock; across a restart only the recorded date is there, and
 * dates can lie in both directions. A clock error may cost a question upstream. It must neither keep an answer fresh for
 * years nor make it too old to be served during an outage.
 */
import { LRUCache } from 'lru-cache';
import type { Clock } from '../../lib/clock.ts';

/** When a question was sent, on both clocks. */
export interface Moment {
  readonly wallMs: number;
  readonly monotonicMs: number;
}

export interface Age {
  /** The pessimistic age in milliseconds, for "is it still fresh?"; infinite for a date in the future. */
  readonly freshnessMs: number;
  /** The optimistic age in milliseconds, for "may it still be served while the upstream is away?". Never negative. */
  readonly outageMs: number;
}

/** `checkedAtMs` 0: nobody ever checked, as of what was adopted. `elapsedMs`: monotonic time since then, where this process was there. */
export function ageOf(checkedAtMs: number, nowMs: number, elapsedMs: number | undefined): Age {
  const wallMs = nowMs - checkedAtMs;
  if (elapsedMs === undefined) {
    // Not a number, none, or in the future: the date says nothing.
    return checkedAtMs > 0 && wallMs >= 0
      ? { freshnessMs: wallMs, outageMs: wallMs }
      : { freshnessMs: Infinity, outageMs: 0 };
  }
  // The monotonic clock stands still while a laptop sleeps, so the wall may know of more time.
  return { freshnessMs: Math.max(elapsedMs, wallMs), outageMs: elapsedMs };
}

/** Remaining freshness for Cache-Status, in whole seconds. */
export function freshSeconds(age: Age, ttlMs: number): number {
  return Math.max(0, Math.ceil((ttlMs - age.freshnessMs) / 1000));
}

/** The same for an answer that is served although it is not fresh: at most -1. */
export function staleSeconds(age: Age, ttlMs: number): number {
  return Math.min(-1, Math.floor((ttlMs - age.outageMs) / 1000));
}

/** Remembers which recorded dates this process has written itself, and when. */
export class Ages {
  readonly #clock: Clock;
  readonly #marks: LRUCache<string, Moment>;

  constructor(clock: Clock, max = 16_384) {
    this.#clock = clock;
    this.#marks = new LRUCache({ max });
  }

  now(): Moment {
    return { wallMs: this.#clock.now(), monotonicMs: this.#clock.monotonic() };
  }

  mark(key: string, moment: Moment): void {
    this.#marks.set(key, moment);
  }

  of(key: string, checkedAtMs: number): Age {
    const mark = this.#marks.get(key);
    // Another date than ours was written by somebody else: an import, or an earlier process.
    const elapsedMs = mark?.wallMs === checkedAtMs ? this.#clock.monotonic() - mark.monotonicMs : undefined;
    return ageOf(checkedAtMs, this.#clock.now(), elapsedMs);
  }
}
