/** A limit on bytes per second that several transfers share: each chunk waits until those before it are paid for. */
import type { Clock } from '../lib/clock.ts';

export class Bandwidth {
  readonly #bytesPerSecond: number;
  readonly #clock: Pick<Clock, 'monotonic' | 'sleep'>;
  #freeAtMs = 0;

  constructor(bytesPerSecond: number, clock: Pick<Clock, 'monotonic' | 'sleep'>) {
    this.#bytesPerSecond = bytesPerSecond;
    this.#clock = clock;
  }

  /** Most that one transfer takes at once, so that others get their turn soon. */
  get stepBytes(): number {
    return Math.max(16 * 1024, Math.floor(this.#bytesPerSecond / 20));
  }

  /**
   * Waits for its turn; unused time is not saved up. Turns are in the order of calls, so transfers share evenly. Rejects
   * with the signal's reason.
   */
  async take(bytes: number, signal: AbortSignal): Promise<void> {
    const nowMs = this.#clock.monotonic();
    const startMs = Math.max(this.#freeAtMs, nowMs);
    this.#freeAtMs = startMs + (bytes / this.#bytesPerSecond) * 1000;
    if (startMs > nowMs) await this.#clock.sleep(startMs - nowMs, signal);
  }
}
