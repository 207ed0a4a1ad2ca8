/**
 * Whether a body that stands still may be waited for, said where the thread that carries it can see it. What can be
 * continued is broken off and continued; what cannot would begin anew, and be where it was after the same time at best.
 */
import type { Clock, Timer } from '../../lib/clock.ts';

/** Memory that threads share: 1 while there is patience, else 0. */
export type PatienceFlag = Int32Array<SharedArrayBuffer>;

/** How old what it says may be, in milliseconds: a fraction of what a body may stand still in any case. */
const refreshEveryMs = 5_000;

export class Patience {
  readonly flag: PatienceFlag = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
  readonly #clock: Pick<Clock, 'setTimer'>;
  readonly #mayWait: () => boolean;
  #timer: Timer | undefined;

  constructor(clock: Pick<Clock, 'setTimer'>, mayWait: () => boolean) {
    this.#clock = clock;
    this.#mayWait = mayWait;
    this.#refresh();
  }

  /** From now on there is none. Idempotent. */
  end(): void {
    this.#timer?.cancel();
    Atomics.store(this.flag, 0, 0);
  }

  #refresh(): void {
    Atomics.store(this.flag, 0, this.#mayWait() ? 1 : 0);
    this.#timer = this.#clock.setTimer(refreshEveryMs, () => this.#refresh());
  }
}

export function isPatient(flag: PatienceFlag | undefined): boolean {
  return flag !== undefined && Atomics.load(flag, 0) === 1;
}
