/** Questions that failed, each by itself: answered from memory for a while, so that whoever repeats one costs nothing. */
import type { Clock } from '../../lib/clock.ts';
import { UpstreamError } from '../contract/errors.ts';
import { lruOf } from '../../lib/lru.ts';

interface Failure {
  readonly error: UpstreamError;
  readonly failedAtMs: number;
  readonly untilMs: number;
  readonly pauseMs: number;
}

const firstPauseMs = 5_000;
const longestPauseMs = 60_000;
const maxQuestions = 10_000;

export class QuestionMemory {
  readonly #clock: Pick<Clock, 'monotonic'>;
  readonly #failures = lruOf<string, Failure>(maxQuestions);

  constructor(clock: Pick<Clock, 'monotonic'>) {
    this.#clock = clock;
  }

  /** How it failed, and how long that is still the answer; undefined when it may be asked. */
  get(key: string): { readonly error: UpstreamError; readonly leftMs: number } | undefined {
    const found = this.#failures.get(key);
    const leftMs = (found?.untilMs ?? 0) - this.#clock.monotonic();
    return found === undefined || leftMs <= 0 ? undefined : { error: found.error, leftMs };
  }

  /** The error of `get`, as it is told to whoever asks meanwhile. */
  remembered(key: string): UpstreamError | undefined {
    const found = this.get(key);
    if (found === undefined) return undefined;
    const { kind, message, upstream, status, code } = found.error;
    return new UpstreamError(kind, `${message} (remembered)`, {
      upstream,
      retryAfterMs: found.leftMs,
      ...(status !== undefined && { status }),
      ...(code !== undefined && { code }),
      cause: found.error,
    });
  }

  /** When it failed last, monotonic; undefined when it has not failed since it was last answered. */
  failedAtMs(key: string): number | undefined {
    return this.#failures.peek(key)?.failedAtMs;
  }

  /** 5 s, and twice as long after each further failure, 60 s at most. */
  failed(key: string, error: UpstreamError): void {
    const nowMs = this.#clock.monotonic();
    const last = this.#failures.get(key);
    // Several that were under way together are one failure.
    if (last !== undefined && nowMs < last.untilMs) return;
    const pauseMs = last === undefined ? firstPauseMs : Math.min(last.pauseMs * 2, longestPauseMs);
    this.#failures.set(key, { error, failedAtMs: nowMs, untilMs: nowMs + pauseMs, pauseMs });
  }

  answered(key: string): void {
    this.#failures.delete(key);
  }
}
