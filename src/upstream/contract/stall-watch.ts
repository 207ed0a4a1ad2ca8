/**
 * Notices a body that does not come, or comes too slowly to be worth waiting for. Only time in which the consumer waits
 * for bytes counts: while it writes to a slow disk, or holds back for a slow client, the upstream is not to blame.
 */
import type { Clock, Timer } from '../../lib/clock.ts';
import { isPatient, type PatienceFlag } from './patience.ts';

export interface StallLimits {
  /** Longest wait for the next bytes, milliseconds. */
  readonly idleMs: number;
  /** At least this many bytes per second, on average over `floorWindowMs` of waiting. */
  readonly floorBytesPerSecond: number;
  readonly floorWindowMs: number;
}

/** What is waited for with patience is given up after so long without a byte. */
const patientMs = 60 * 60_000;
/** How soon it shows that there is no patience any more. */
const lookAgainMs = 5_000;

export class StallWatch {
  readonly #limits: StallLimits;
  readonly #patience: PatienceFlag | undefined;
  readonly #clock: Pick<Clock, 'monotonic' | 'setTimer'>;
  readonly #onStall: (reason: string) => void;
  #waitingSince: number | undefined;
  #windowWaitedMs = 0;
  #windowBytes = 0;
  #timer: Timer | undefined;

  /**
   * `onStall` is called at most once, from a timer or from `arrived`. While there is `patience`, only an hour without a
   * byte is too long.
   */
  constructor(
    limits: StallLimits,
    clock: Pick<Clock, 'monotonic' | 'setTimer'>,
    onStall: (reason: string) => void,
    patience?: PatienceFlag,
  ) {
    this.#limits = limits;
    this.#patience = patience;
    this.#clock = clock;
    this.#onStall = onStall;
  }

  /** The consumer begins to wait. */
  waiting(): void {
    this.#waitingSince = this.#clock.monotonic();
    this.#timer ??= this.#arm(this.#untilVerdict(0));
  }

  /** Bytes came, and the consumer stops waiting. */
  arrived(bytes: number): void {
    const waitedMs = this.#waitedMs();
    this.#waitingSince = undefined;
    this.#windowWaitedMs += waitedMs;
    this.#windowBytes += bytes;
    if (this.#windowWaitedMs < this.#limits.floorWindowMs) return;
    if (this.#isTooSlow(this.#windowWaitedMs) && !isPatient(this.#patience)) this.#stall();
    this.#windowWaitedMs = 0;
    this.#windowBytes = 0;
  }

  end(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#waitingSince = undefined;
  }

  // One timer for a whole body: it is not moved with each chunk, but looks when it fires how things stand.
  #arm(ms: number): Timer {
    return this.#clock.setTimer(ms, () => {
      this.#timer = undefined;
      if (this.#waitingSince === undefined) return;
      const waitedMs = this.#waitedMs();
      const isTooSlow =
        this.#windowWaitedMs + waitedMs >= this.#limits.floorWindowMs &&
        this.#isTooSlow(this.#windowWaitedMs + waitedMs);
      const isStalled = waitedMs >= this.#limits.idleMs || isTooSlow;
      const mayGoOn = isPatient(this.#patience) && waitedMs < patientMs;
      if (isStalled && !mayGoOn) return this.#stall();
      this.#timer = this.#arm(isStalled ? lookAgainMs : this.#untilVerdict(waitedMs));
    });
  }

  #untilVerdict(waitedMs: number): number {
    const { idleMs, floorWindowMs } = this.#limits;
    const windowLeftMs = floorWindowMs - this.#windowWaitedMs - waitedMs;
    return windowLeftMs > 0 ? Math.min(idleMs - waitedMs, windowLeftMs) : idleMs - waitedMs;
  }

  #isTooSlow(waitedMs: number): boolean {
    return this.#windowBytes < (this.#limits.floorBytesPerSecond * waitedMs) / 1000;
  }

  #waitedMs(): number {
    return this.#waitingSince === undefined ? 0 : this.#clock.monotonic() - this.#waitingSince;
  }

  #stall(): void {
    const waitedMs = this.#waitedMs();
    this.end();
    const { idleMs, floorBytesPerSecond, floorWindowMs } = this.#limits;
    this.#onStall(
      waitedMs >= idleMs
        ? `nothing for ${idleMs} ms`
        : `less than ${floorBytesPerSecond} bytes per second over ${floorWindowMs} ms`,
    );
  }
}
