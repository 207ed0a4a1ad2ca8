/** Blobs that were found to be larger than the whole cache: bringing them again to find that out costs bytes of no use. */
import type { Clock } from '../lib/clock.ts';

/** For so long what an upstream said about a size counts; then a fill looks again. */
const keepMs = 10 * 60_000;
const most = 1000;

export class Oversized {
  readonly #clock: Pick<Clock, 'monotonic'>;
  /** In the order in which they were found, with the monotonic time until which that counts. */
  readonly #untilMs = new Map<string, number>();

  constructor(clock: Pick<Clock, 'monotonic'>) {
    this.#clock = clock;
  }

  add(key: string): void {
    this.#untilMs.delete(key);
    this.#untilMs.set(key, this.#clock.monotonic() + keepMs);
    const [oldest] = this.#untilMs.keys();
    if (this.#untilMs.size > most && oldest !== undefined) this.#untilMs.delete(oldest);
  }

  has(key: string): boolean {
    const untilMs = this.#untilMs.get(key);
    if (untilMs === undefined || untilMs > this.#clock.monotonic()) return untilMs !== undefined;
    this.#untilMs.delete(key);
    return false;
  }
}
