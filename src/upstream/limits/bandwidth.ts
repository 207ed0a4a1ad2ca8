/**
 * A limit on bytes per second that several transfers share: each chunk waits until those before it are paid for. The
 * turns go round among flows (start-time fair queueing), so that what one of them opens more connections for is its own.
 */
import type { Clock, Timer } from '../../lib/clock.ts';
import { abortReason } from '../../lib/abort.ts';

/** What shares a turn. */
export interface Flow {
  readonly name: string;
  /** Its part in proportion to that of others. */
  readonly weight: number;
}

interface Waiter {
  readonly bytes: number;
  /** On the scale of bytes that everybody was given so far; the lowest is next. */
  readonly start: number;
  readonly go: () => void;
}

const anyFlow: Flow = { name: '', weight: 1 };

export class Bandwidth {
  readonly #bytesPerSecond: number;
  readonly #clock: Pick<Clock, 'monotonic' | 'setTimer'>;
  readonly #waiting = new Set<Waiter>();
  /** Where each flow's next turn starts at the earliest. */
  readonly #ends = new Map<string, number>();
  #position = 0;
  #freeAtMs = 0;
  #timer: Timer | undefined;

  constructor(bytesPerSecond: number, clock: Pick<Clock, 'monotonic' | 'setTimer'>) {
    this.#bytesPerSecond = bytesPerSecond;
    this.#clock = clock;
  }

  /** Most that one transfer takes at once, so that others get their turn soon. */
  get stepBytes(): number {
    return Math.max(16 * 1024, Math.floor(this.#bytesPerSecond / 20));
  }

  /** Waits for its turn; unused time is not saved up. Rejects with the signal's reason. */
  take(bytes: number, signal: AbortSignal, flow: Flow = anyFlow): Promise<void> {
    if (signal.aborted) return Promise.reject(abortReason(signal));
    const start = Math.max(this.#position, this.#ends.get(flow.name) ?? 0);
    this.#ends.set(flow.name, start + bytes / flow.weight);
    if (this.#waiting.size === 0 && this.#freeAtMs <= this.#clock.monotonic()) {
      this.#spend(bytes, start);
      return Promise.resolve();
    }
    return new Promise((resolve, reject) => {
      const leave = (): void => {
        this.#waiting.delete(waiter);
        signal.removeEventListener('abort', onAbort);
      };
      const go = (): void => {
        leave();
        resolve();
      };
      const waiter = { bytes, start, go };
      const onAbort = (): void => {
        leave();
        reject(abortReason(signal));
        if (this.#waiting.size === 0) this.#rest();
      };
      signal.addEventListener('abort', onAbort, { once: true });
      this.#waiting.add(waiter);
      this.#arm();
    });
  }

  #arm(): void {
    this.#timer ??= this.#clock.setTimer(this.#freeAtMs - this.#clock.monotonic(), () => {
      this.#timer = undefined;
      let next: Waiter | undefined;
      for (const waiter of this.#waiting) if (next === undefined || waiter.start < next.start) next = waiter;
      if (next === undefined) return;
      this.#spend(next.bytes, next.start);
      next.go();
      if (this.#waiting.size > 0) this.#arm();
      else this.#rest();
    });
  }

  #spend(bytes: number, start: number): void {
    this.#position = Math.max(this.#position, start);
    this.#freeAtMs = Math.max(this.#freeAtMs, this.#clock.monotonic()) + (bytes / this.#bytesPerSecond) * 1000;
  }

  /** Nobody waits: no timer, and no account of flows that may have ended. */
  #rest(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    for (const [name, end] of this.#ends) if (end <= this.#position) this.#ends.delete(name);
  }
}
