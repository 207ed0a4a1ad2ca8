/**
 * A growing 64-bit position in shared memory that any thread can follow.
 *
 * One thread writes (`advance`, `touch`, `setState`); every other thread makes its own `Watermark` over the same
 * `buffer`. However many callers wait, a Watermark object has at most one `Atomics.waitAsync` outstanding and serves its
 * callers from that: an abandoned waitAsync stays in memory until it is notified or times out.
 */
import { abortReason } from './abort.ts';

/** All but `open` are final: no byte is added any more. */
export type WatermarkState = 'open' | 'sealed' | 'failed';

const states: readonly WatermarkState[] = ['open', 'sealed', 'failed'];

/** Cells of the Int32 view; the position is a BigInt64 behind them, because 2^31 is only 2 GiB. */
const sequenceCell = 0;
const stateCell = 1;
const positionByteOffset = 8;
const byteLength = 16;

/** A lost wake-up must not hang anybody for ever, and an abandoned wait must not stay for ever. */
const defaultRearmMs = 10_000;

interface Waiter {
  readonly isReady: () => boolean;
  readonly wake: () => void;
}

export class Watermark {
  /** To be posted to other threads. */
  readonly buffer: SharedArrayBuffer;
  readonly #cells: Int32Array<SharedArrayBuffer>;
  readonly #position: BigInt64Array<SharedArrayBuffer>;
  readonly #rearmMs: number;
  readonly #waiters = new Set<Waiter>();
  #isArmed = false;

  constructor(buffer: SharedArrayBuffer, rearmMs: number = defaultRearmMs) {
    this.buffer = buffer;
    this.#cells = new Int32Array(buffer, 0, 2);
    this.#position = new BigInt64Array(buffer, positionByteOffset, 1);
    this.#rearmMs = rearmMs;
  }

  /** A new one: position 0, open. */
  static create(rearmMs?: number): Watermark {
    return new Watermark(new SharedArrayBuffer(byteLength), rearmMs);
  }

  get position(): number {
    return Number(Atomics.load(this.#position, 0));
  }

  get state(): WatermarkState {
    return states[Atomics.load(this.#cells, stateCell)] ?? 'failed';
  }

  /** Changes with every change of anything; wraps around, so compare for equality only. */
  get sequence(): number {
    return Atomics.load(this.#cells, sequenceCell);
  }

  /** Callers that wait on this object. */
  get waiting(): number {
    return this.#waiters.size;
  }

  /** Moves the position forward and wakes everybody. The same position is no change; throws when it would go back. */
  advance(to: number): void {
    const from = this.position;
    if (!Number.isSafeInteger(to) || to < from) throw new RangeError(`a watermark cannot go from ${from} to ${to}`);
    if (to === from) return;
    Atomics.store(this.#position, 0, BigInt(to));
    this.touch();
  }

  /** Something beside the position has changed: wakes everybody who waits in `changed`. */
  touch(): void {
    Atomics.add(this.#cells, sequenceCell, 1);
    Atomics.notify(this.#cells, sequenceCell);
    // Callers on this thread need not go through the event loop.
    this.#wakeReady();
  }

  /** Ends the open state and wakes everybody. The first final state stays; false when there was one already. */
  setState(state: Exclude<WatermarkState, 'open'>): boolean {
    const before = Atomics.compareExchange(this.#cells, stateCell, 0, states.indexOf(state));
    if (before === 0) this.touch();
    return before === 0;
  }

  /** Resolves when the sequence is not `sinceSequence` any more. Rejects with the signal's reason. */
  changed(sinceSequence: number, signal?: AbortSignal): Promise<void> {
    return this.#wait(() => this.sequence !== sinceSequence, signal);
  }

  /**
   * Resolves when the position is greater than `position`, or the state is final; the caller looks which. Rejects with
   * the signal's reason.
   */
  past(position: number, signal?: AbortSignal): Promise<void> {
    return this.#wait(() => this.position > position || this.state !== 'open', signal);
  }

  #wait(isReady: () => boolean, signal: AbortSignal | undefined): Promise<void> {
    if (signal?.aborted === true) return Promise.reject(abortReason(signal));
    if (isReady()) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const onAbort = (): void => {
        this.#waiters.delete(waiter);
        // Ends the waitAsync that nobody needs now. Other threads look up once in vain.
        if (this.#waiters.size === 0) Atomics.notify(this.#cells, sequenceCell);
        if (signal !== undefined) reject(abortReason(signal));
      };
      const wake = (): void => {
        signal?.removeEventListener('abort', onAbort);
        resolve();
      };
      const waiter: Waiter = { isReady, wake };
      this.#waiters.add(waiter);
      signal?.addEventListener('abort', onAbort, { once: true });
      this.#arm();
    });
  }

  #wakeReady(): void {
    for (const waiter of this.#waiters) {
      if (!waiter.isReady()) continue;
      this.#waiters.delete(waiter);
      waiter.wake();
    }
  }

  /** Order matters: read the sequence, then look at the waiters, then wait for that sequence to change. */
  #arm(): void {
    while (!this.#isArmed) {
      const sequence = this.sequence;
      this.#wakeReady();
      if (this.#waiters.size === 0) return;
      const wait = Atomics.waitAsync(this.#cells, sequenceCell, sequence, this.#rearmMs);
      // Not asynchronous means that the sequence has changed in between: look again.
      if (!wait.async) continue;
      this.#isArmed = true;
      // Never rejects; it ends with 'ok' or 'timed-out', and both mean "look again, and re-arm if somebody still waits".
      void wait.value.then(() => {
        this.#isArmed = false;
        this.#arm();
      });
    }
  }
}
