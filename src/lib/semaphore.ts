/** A counting semaphore: fair, abortable, with lanes that overtake and holders that give way. */
import { abortReason } from './abort.ts';
import { type Lane, laneOf, lanes, MovingLane } from './lane.ts';

export type { Lane } from './lane.ts';

interface Waiter {
  lane: Lane;
  readonly grant: () => void;
}

/** A permit whose holder has said how to ask for it. */
interface Holder {
  readonly lane: Lane | MovingLane;
  readonly onWanted: () => void;
}

export class Semaphore {
  readonly limit: number;
  #active = 0;
  /** In the order in which they came. */
  readonly #waiting = new Set<Waiter>();
  /** The latest last: it loses the least. */
  readonly #holders = new Set<Holder>();

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
   *
   * With `onWanted`, a holder that is in the lane `low` is told, at most once, that somebody above `low` waits and that
   * it is the one to give its permit back for that.
   */
  acquire(lane: Lane | MovingLane = 'normal', signal?: AbortSignal, onWanted?: () => void): Promise<Disposable> {
    if (signal?.aborted === true) return Promise.reject(abortReason(signal));
    const holder = onWanted === undefined ? undefined : { lane, onWanted };
    if (this.#active < this.limit) {
      this.#active++;
      return Promise.resolve(this.#permit(holder));
    }
    return new Promise((resolve, reject) => {
      const leave = (): void => {
        this.#waiting.delete(waiter);
        signal?.removeEventListener('abort', onAbort);
        stopFollowing?.();
      };
      const grant = (): void => {
        leave();
        resolve(this.#permit(holder));
      };
      const waiter: Waiter = { lane: laneOf(lane), grant };
      const onAbort = (): void => {
        leave();
        if (signal !== undefined) reject(abortReason(signal));
      };
      const stopFollowing =
        lane instanceof MovingLane ? lane.onMove(() => this.#move(waiter, lane.current)) : undefined;
      this.#waiting.add(waiter);
      signal?.addEventListener('abort', onAbort, { once: true });
      if (waiter.lane !== 'low') this.#askHolder();
    });
  }

  /** A permit if one is free now. Nobody can be waiting then, so this overtakes no one. */
  tryAcquire(): Disposable | undefined {
    if (this.#active >= this.limit) return undefined;
    this.#active++;
    return this.#permit(undefined);
  }

  #permit(holder: Holder | undefined): Disposable {
    let isOut = true;
    if (holder !== undefined) this.#holders.add(holder);
    return {
      [Symbol.dispose]: () => {
        if (!isOut) return;
        isOut = false;
        if (holder !== undefined) this.#holders.delete(holder);
        this.#release();
      },
    };
  }

  #move(waiter: Waiter, lane: Lane): void {
    const wasLow = waiter.lane === 'low';
    waiter.lane = lane;
    if (wasLow && lane !== 'low') this.#askHolder();
  }

  /** One waiter, one holder: whoever was asked is not asked again. */
  #askHolder(): void {
    const low = [...this.#holders].findLast(({ lane }) => laneOf(lane) === 'low');
    if (low === undefined) return;
    this.#holders.delete(low);
    low.onWanted();
  }

  /** Hands the permit on without lowering the count, so that no newcomer slips in between. */
  #release(): void {
    let next: Waiter | undefined;
    for (const waiter of this.#waiting) {
      if (next === undefined || lanes.indexOf(waiter.lane) < lanes.indexOf(next.lane)) next = waiter;
    }
    if (next === undefined) this.#active--;
    else next.grant();
  }
}
