/** A counting semaphore: fair, abortable, with a priority that overtakes. */
import { abortReason } from './abort.ts';

/** All of `high` are served before the first of `normal`; inside a priority, first come, first served. */
const priorities = ['high', 'normal'] as const;

export type SemaphorePriority = (typeof priorities)[number];

interface Waiter {
  readonly priority: SemaphorePriority;
  readonly grant: () => void;
}

export class Semaphore {
  readonly limit: number;
  #active = 0;
  /** In the order in which they came. */
  readonly #waiting = new Set<Waiter>();

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
    return this.#waiting.size;
  }

  /**
   * Resolves a permit; disposing it (once or more often) gives it back. Rejects with the signal's reason if that aborts
   * while waiting; afterwards the permit belongs to the caller whatever the signal does.
   */
  acquire(priority: SemaphorePriority = 'normal', signal?: AbortSignal): Promise<Disposable> {
    if (signal?.aborted === true) return Promise.reject(abortReason(signal));
    if (this.#active < this.limit) {
      this.#active++;
      return Promise.resolve(this.#permit());
    }
    return new Promise((resolve, reject) => {
      const leave = (): void => {
        this.#waiting.delete(waiter);
        signal?.removeEventListener('abort', onAbort);
      };
      const grant = (): void => {
        leave();
        resolve(this.#permit());
      };
      const waiter: Waiter = { priority, grant };
      const onAbort = (): void => {
        leave();
        if (signal !== undefined) reject(abortReason(signal));
      };
      this.#waiting.add(waiter);
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
    let next: Waiter | undefined;
    for (const waiter of this.#waiting) {
      if (next === undefined || priorities.indexOf(waiter.priority) < priorities.indexOf(next.priority)) next = waiter;
    }
    if (next === undefined) this.#active--;
    else next.grant();
  }
}
