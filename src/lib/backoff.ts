/** Leaves something alone after it has failed: for longer each time, until it succeeds again. */
import type { Clock, Timer } from './clock.ts';

export interface PauseOptions {
  readonly clock: Pick<Clock, 'setTimer'>;
  /** The first pause, in milliseconds; it doubles up to `longestMs`. */
  readonly firstMs: number;
  readonly longestMs: number;
  readonly onOver: () => void;
}

export class Pause {
  readonly #options: PauseOptions;
  #failures = 0;
  #timer: Timer | undefined;

  constructor(options: PauseOptions) {
    this.#options = options;
  }

  get isOn(): boolean {
    return this.#timer !== undefined;
  }

  /** Begins a pause of at least `leastMs`, if none has begun: what fails together counts once. */
  failed(leastMs = 0): void {
    if (this.isOn) return;
    const { clock, firstMs, longestMs, onOver } = this.#options;
    const ms = Math.min(Math.max(firstMs * 2 ** this.#failures, leastMs), longestMs);
    this.#failures += 1;
    this.#timer = clock.setTimer(ms, () => {
      this.#timer = undefined;
      onOver();
    });
  }

  succeeded(): void {
    this.#failures = 0;
  }

  /** Cancels what is pending, without `onOver`. Idempotent. */
  end(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }
}
