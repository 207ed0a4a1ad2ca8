/**
 * Cuts readers that take nothing. Only the time between handing bytes to a socket and its having taken them counts; time
 * in which a reader waits for a transfer or a proof is not its fault. One look now and then instead of a timer per write.
 */
import type { Clock, Timer } from '../../lib/clock.ts';

/** Something that hands bytes to a socket. */
export interface Watched {
  /** Monotonic milliseconds since which the socket has not taken what it was given; undefined when it has. */
  readonly pendingSinceMs: number | undefined;
  cut(): void;
}

export class StallWatch {
  readonly #clock: Clock;
  readonly #limitMs: number;
  readonly #watched = new Set<Watched>();
  #timer: Timer | undefined;

  /** Readers are cut between `limitMs` and 1.1 times that. */
  constructor(clock: Clock, limitMs: number = 15 * 60_000) {
    this.#clock = clock;
    this.#limitMs = limitMs;
  }

  get size(): number {
    return this.#watched.size;
  }

  add(watched: Watched): void {
    this.#watched.add(watched);
    this.#timer ??= this.#arm();
  }

  delete(watched: Watched): void {
    this.#watched.delete(watched);
    if (this.#watched.size > 0) return;
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #arm(): Timer {
    return this.#clock.setTimer(this.#limitMs / 10, () => {
      const nowMs = this.#clock.monotonic();
      for (const watched of this.#watched) {
        const since = watched.pendingSinceMs;
        if (since !== undefined && nowMs - since >= this.#limitMs) watched.cut();
      }
      this.#timer = this.#watched.size === 0 ? undefined : this.#arm();
    });
  }
}
