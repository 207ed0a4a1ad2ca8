/** A counting semaphore: fair, abortable, with a lane that overtakes. */
import { abortReason } from './abort.ts';

/** Waiters of `high` are all served before the first of `normal`; inside a lane, first come, first served. */
export type Lane = 'high' | 'normal';

export class Semaphore {
  readonly limit: number;
  #active = 0;
  readonly #waiting: Readonly<Record<Lane, Set<(permit: Disposable) => void>>> = { high: new Set(), normal: new Set() };

  /** `limit` permits, at least 1. */
  constructor(limit: number) {
    if (!Number.isSafeInteger(limit) || limit < 1)
      throw new RangeError(`a semaphore needs a limit of 1 or more: ${limit}`);
    this.limit = limit;
  }

  /** Permits that are out. */
  get active(): number {
    return this.#active;
  }

  get waiting(): number {
    return this.#waiting.high.size + this.#waiting.normal.size;
  }

  /**
   * Resolves a permit; disposing it (once or more often) gives it back. Rejects with the signal's reason if that aborts
   * while waiting; afterwards the permit belongs to the caller whatever the signal does.
   */
  acquire(lane: Lane = 'normal', signal?: AbortSignal): Promise<Disposable> {
    if (signal?.aborted === true) return Promise.reject(abortReason(signal));
    const permit = this.tryAcquire();
    if (permit !== undefined) return Promise.resolve(permit);
    const queue = this.#waiting[lane];
    return new Promise((resolve, reject) => {
      const grant = (granted: Disposable): void => {
        signal?.removeEventListener('abort', onAbort);
        resolve(granted);
      };
      const onAbort = (): void => {
        queue.delete(grant);
        if (signal !== undefined) reject(abortReason(signal));
      };
      queue.add(grant);
      signal?.addEventListener('abort', onAbort, { once: true });
    });
  }

  /** A permit if one is free now. Nobody can be waiting then, so this overtakes no one. */
  tryAcquire(): Disposable | undefined {
    if (this.#active >= this.limit) return undefined;
    this.#active++;
    return this.#permit();
  }

  #permit(): Disposable {
    let isOut = true;
    return {
      [Symbol.dispose]: () => {
        if (!isOut) return;
        isOut = false;
        this.#release();
      },
    };
  }

  /** Hands the permit on without lowering the count, so that no newcomer slips in between. */
  #release(): void {
    for (const queue of [this.#waiting.high, this.#waiting.normal]) {
      for (const grant of queue) {
        queue.delete(grant);
        grant(this.#permit());
        return;
      }
    }
    this.#active--;
  }
}
