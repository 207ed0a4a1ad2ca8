/**
 * What an upstream allows of one kind to one asker. After a 429 with a short wait, or none, questions go on one by one at a
 * pace that is learnt: faster with each answer, slower with each further 429, and never again as fast as the pace that
 * brought one. A long wait is a hold: until it is over nobody asks, and then one question asks anew.
 */
import type { Clock } from '../../lib/clock.ts';
import { longestRetryAfterMs } from '../../headers/retry-after.ts';
import { UpstreamError } from '../contract/errors.ts';
import type { Gate } from './gate.ts';

/** Beyond it nobody waits inside weir. */
export const longestShortMs = 10_000;
const firstIntervalMs = 500;
/** Without a 429 for so long, questions go as if there had been none. */
const forgetMs = 60_000;
/** A bucket that is still being emptied hides a pace that is too fast: whoever speeds up more has many under way then. */
const faster = 0.93;
const slower = 2;
/** A pace that brought a 429 was too fast by so much at least. */
const tooFast = 1.5;

export class RateLimit implements Gate {
  readonly #monotonic: () => number;
  readonly #upstream: string;
  /** Undefined while nothing is limited. */
  #limitedAtMs: number | undefined;
  #intervalMs = firstIntervalMs;
  /** No faster than this: it has brought a 429. */
  #floorMs = 0;
  #nextMs = -Infinity;
  #isHeld = false;

  constructor(upstream: string, clock: Pick<Clock, 'monotonic'>) {
    this.#upstream = upstream;
    this.#monotonic = (): number => clock.monotonic();
  }

  get opensAtMs(): number {
    return this.isOn ? this.#nextMs : -Infinity;
  }

  get isOn(): boolean {
    return this.#limitedAtMs !== undefined && (this.#isHeld || this.#monotonic() - this.#limitedAtMs < forgetMs);
  }

  passed(): void {
    // After a hold one asks for all; what becomes of it must be known before the next one goes.
    if (this.isOn) this.#nextMs = this.#monotonic() + (this.#isHeld ? longestShortMs : this.#intervalMs);
  }

  answered(): void {
    if (this.#limitedAtMs === undefined) return;
    if (this.#isHeld) {
      if (this.#monotonic() >= this.#nextMs - longestShortMs) this.#end();
    } else if (!this.isOn) this.#end();
    else this.#intervalMs = Math.max(this.#intervalMs * faster, this.#floorMs);
  }

  /** A 429 to what was sent at `sentAtMs`. `retryAfterMs` undefined: it does not say how long. */
  limited(retryAfterMs: number | undefined, sentAtMs: number): void {
    const nowMs = this.#monotonic();
    // What was under way already says nothing about the pace since then.
    const isNew = this.#limitedAtMs === undefined || sentAtMs >= this.#limitedAtMs;
    if (!this.isOn) this.#intervalMs = Math.max(firstIntervalMs, this.#floorMs);
    else if (isNew && !this.#isHeld) {
      this.#floorMs = Math.min(Math.max(this.#floorMs, this.#intervalMs * tooFast), longestShortMs);
      this.#intervalMs = Math.min(Math.max(this.#intervalMs * slower, this.#floorMs), longestShortMs);
    }
    if (isNew) this.#limitedAtMs = nowMs;
    this.#isHeld = (retryAfterMs ?? 0) > longestShortMs || (this.#isHeld && !isNew);
    const waitMs = Math.max(retryAfterMs ?? 0, this.#intervalMs);
    this.#nextMs = Math.max(isNew ? -Infinity : this.#nextMs, nowMs + Math.min(waitMs, longestRetryAfterMs));
  }

  /** Why nobody should wait until `endsAtMs` with `ahead` others before him; undefined when it is worth it. */
  refusal(endsAtMs: number, ahead = 0): UpstreamError | undefined {
    if (!this.isOn) return undefined;
    const atMs = this.#nextMs + ahead * this.#intervalMs;
    return atMs <= endsAtMs ? undefined : this.error(atMs);
  }

  error(atMs: number = this.#nextMs): UpstreamError {
    const retryAfterMs = Math.max(1_000, atMs - this.#monotonic());
    const message = `${this.#upstream} limits how often it may be asked`;
    return new UpstreamError('rateLimited', message, { upstream: this.#upstream, retryAfterMs });
  }

  #end(): void {
    this.#limitedAtMs = undefined;
    this.#isHeld = false;
    this.#nextMs = -Infinity;
  }
}
