/** A clock whose hands the test turns. Timers and sleeps fire in order of their time, then of their creation. */
import { type Clock, sleepOn, type Timer } from '../../src/lib/clock.ts';

interface Armed {
  readonly atMs: number;
  readonly order: number;
  readonly fire: () => void;
}

export class FakeClock implements Clock {
  #nowMs: number;
  #monotonicMs = 0;
  #order = 0;
  readonly #armed = new Set<Armed>();

  /** `nowMs`: the wall time at the start, epoch milliseconds. */
  constructor(nowMs: number = Date.UTC(2026, 0, 1)) {
    this.#nowMs = nowMs;
  }

  /** Timers and sleeps that have neither fired nor been cancelled. */
  get pending(): number {
    return this.#armed.size;
  }

  now(): number {
    return this.#nowMs;
  }

  monotonic(): number {
    return this.#monotonicMs;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return sleepOn(this, ms, signal);
  }

  setTimer(ms: number, fire: () => void): Timer {
    const armed: Armed = { atMs: this.#monotonicMs + Math.max(0, ms), order: this.#order++, fire };
    this.#armed.add(armed);
    const cancel = (): void => void this.#armed.delete(armed);
    return { cancel, [Symbol.dispose]: cancel };
  }

  /** Sets the wall time alone, as an administrator or NTP would. Timers do not notice. */
  setWallTime(nowMs: number): void {
    this.#nowMs = nowMs;
  }

  /**
   * Lets `ms` milliseconds pass. After each timer the promise jobs run to the end, so that what it woke may arm the next
   * one inside the same stretch of time. Work that waits for I/O is not waited for.
   */
  async advance(ms: number): Promise<void> {
    const untilMs = this.#monotonicMs + ms;
    await settle();
    for (let next = this.#next(untilMs); next !== undefined; next = this.#next(untilMs)) {
      this.#armed.delete(next);
      this.#moveTo(next.atMs);
      next.fire();
      await settle();
    }
    this.#moveTo(untilMs);
  }

  #next(untilMs: number): Armed | undefined {
    return [...this.#armed]
      .filter(({ atMs }) => atMs <= untilMs)
      .toSorted((a, b) => a.atMs - b.atMs || a.order - b.order)[0];
  }

  #moveTo(monotonicMs: number): void {
    this.#nowMs += monotonicMs - this.#monotonicMs;
    this.#monotonicMs = monotonicMs;
  }
}

/** Runs all promise jobs that are due: a macrotask comes after every microtask. */
function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
