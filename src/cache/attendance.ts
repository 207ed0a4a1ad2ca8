/** Counts the clients of a fill, and says when the last one has been gone for a while. */
import type { Clock, Timer } from '../lib/clock.ts';

/** How long a fill without clients goes on: a client that comes back meanwhile finds it running. */
const lingerMs = 30_000;

export class Attendance {
  readonly #clock: Clock;
  readonly #onDeserted: () => void;
  #count = 0;
  #linger: Timer | undefined;
  #isClosed = false;

  constructor(clock: Clock, onDeserted: () => void) {
    this.#clock = clock;
    this.#onDeserted = onDeserted;
  }

  /** Some client is here now. */
  get isAttended(): boolean {
    return this.#count > 0;
  }

  /** Counts a client until the returned function is called (once or more often). */
  attach(): () => void {
    this.#count += 1;
    this.#cancel();
    let isAttached = true;
    return () => {
      if (!isAttached) return;
      isAttached = false;
      this.#count -= 1;
      if (this.#count === 0 && !this.#isClosed) this.#linger = this.#clock.setTimer(lingerMs, this.#onDeserted);
    };
  }

  /** Nobody is told any more; clients may still come and go. */
  close(): void {
    this.#isClosed = true;
    this.#cancel();
  }

  #cancel(): void {
    this.#linger?.cancel();
    this.#linger = undefined;
  }
}
