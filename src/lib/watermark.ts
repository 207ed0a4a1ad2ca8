/** A position that only grows, and whoever waits for it. */
import { abortReason } from './abort.ts';

/** All but `open` are final: no byte is added any more. */
export type WatermarkState = 'open' | 'sealed' | 'failed';

interface Waiter {
  readonly isReady: () => boolean;
  readonly wake: () => void;
}

export class Watermark {
  readonly #waiters = new Set<Waiter>();
  #position = 0;
  #state: WatermarkState = 'open';
  #sequence = 0;

  get position(): number {
    return this.#position;
  }

  get state(): WatermarkState {
    return this.#state;
  }

  /** Changes with every change of anything; compare for equality only. */
  get sequence(): number {
    return this.#sequence;
  }

  get waiting(): number {
    return this.#waiters.size;
  }

  /** Moves the position forward and wakes everybody. The same position is no change; throws when it would go back. */
  advance(to: number): void {
    const from = this.#position;
    if (!Number.isSafeInteger(to) || to < from) throw new RangeError(`a watermark cannot go from ${from} to ${to}`);
    if (to === from) return;
    this.#position = to;
    this.touch();
  }

  /** Something beside the position has changed: wakes everybody who waits in `changed`. */
  touch(): void {
    this.#sequence += 1;
    for (const waiter of this.#waiters) {
      if (!waiter.isReady()) continue;
      this.#waiters.delete(waiter);
      waiter.wake();
    }
  }

  /** Ends the open state and wakes everybody. The first final state stays; false when there was one already. */
  setState(state: Exclude<WatermarkState, 'open'>): boolean {
    if (this.#state !== 'open') return false;
    this.#state = state;
    this.touch();
    return true;
  }

  /** Resolves when the sequence is not `sinceSequence` any more. Rejects with the signal's reason. */
  changed(sinceSequence: number, signal?: AbortSignal): Promise<void> {
    return this.#wait(() => this.#sequence !== sinceSequence, signal);
  }

  /**
   * Resolves when the position is greater than `position`, or the state is final; the caller looks which. Rejects with
   * the signal's reason.
   */
  past(position: number, signal?: AbortSignal): Promise<void> {
    return this.#wait(() => this.#position > position || this.#state !== 'open', signal);
  }

  #wait(isReady: () => boolean, signal: AbortSignal | undefined): Promise<void> {
    if (signal?.aborted === true) return Promise.reject(abortReason(signal));
    if (isReady()) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const onAbort = (): void => {
        this.#waiters.delete(waiter);
        if (signal !== undefined) reject(abortReason(signal));
      };
      const wake = (): void => {
        signal?.removeEventListener('abort', onAbort);
        resolve();
      };
      const waiter: Waiter = { isReady, wake };
      this.#waiters.add(waiter);
      signal?.addEventListener('abort', onAbort, { once: true });
    });
  }
}
