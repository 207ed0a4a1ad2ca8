/**
 * Keeps the store inside its limits: reservations a little ahead of what is written, and least-recently-used eviction.
 * What counts is what lies on disk: blobs, open ingests and kept partials, unlinked files that a reader still holds, the
 * catalog, and everything that was promised to a fill but is not written yet.
 */
import type { Clock, Timer } from '../../lib/clock.ts';
import { Eviction, type EvictionDeps } from './eviction.ts';
import { Reservation } from './reservation.ts';

/** Eviction goes on down to this part of the limit, so that it does not run for every blob. */
const lowWatermark = 0.9;
/** Directory blocks and what the catalog writes between two looks. */
const slackBytes = 2 * 1024 * 1024;
const enforceEveryMs = 30_000;
/** A write that needs room waits for so many removals of a sweep at most. */
const victimsPerTurn = 32;
/** After a pass that found nothing more to remove. What is open then will be so for a while. */
const restMs = 1000;

export interface SpaceLimits {
  readonly maxBytes: number;
  /** Bytes of the file system that stay free, as a function of its size. */
  readonly minFreeBytes: (totalBytes: number) => number;
}

export interface SpaceOptions extends EvictionDeps {
  readonly clock: Clock;
  readonly limits: SpaceLimits;
}

interface Goal {
  readonly reason: 'size' | 'free-space';
  readonly isMet: () => Promise<boolean>;
}

export class Space {
  readonly #options: SpaceOptions;
  readonly #reservations = new Set<Reservation>();
  /** Grants and evictions happen one after the other. */
  #turn: Promise<unknown> = Promise.resolve();
  /** The pass under way: what it has passed over is not looked at again. */
  #eviction: Eviction | undefined;
  #sweeping: Promise<void> | undefined;
  #exhaustedAtMs = Number.NEGATIVE_INFINITY;
  #timer: Timer | undefined;
  #isClosed = false;

  constructor(options: SpaceOptions) {
    this.#options = options;
    this.#schedule();
  }

  /** With `sparesSinceMs` (epoch milliseconds), nothing that was used then or later is evicted for this one. */
  reserve(sparesSinceMs?: number): Reservation {
    const reservation = new Reservation(this, sparesSinceMs);
    this.#reservations.add(reservation);
    return reservation;
  }

  /** A blob of this size can never be stored. */
  isTooLarge(sizeBytes: number): boolean {
    return sizeBytes + slackBytes > this.#options.limits.maxBytes;
  }

  /** Everything that is on disk or promised. */
  usedBytes(): number {
    const usage = this.#options.store.usage();
    return usage.blobBytes + usage.ingestBytes + usage.zombieBytes + usage.overheadBytes + this.#promisedBytes();
  }

  /**
   * What lies ahead of the write is taken where it is free. Otherwise the reservation gets what the write needs, and the room
   * ahead is made beside it: a client's bytes wait for the blobs in their way, not for a tenth of the cache.
   */
  grant(reservation: Reservation, bytes: number, ahead: number): Promise<boolean> {
    return this.#inTurn(async () => {
      const least = bytes - reservation.granted;
      if (least <= 0) return true;
      const isRoomy = await this.#fits(least + ahead);
      if (!isRoomy && reservation.sparesSinceMs !== undefined) {
        if (!(await this.#makeRoomOf(least, reservation.sparesSinceMs))) return false;
      } else if (!isRoomy) {
        const goal = this.#goal(least + ahead);
        if (!(await this.#makeRoom(least))) return false;
        this.#sweep(goal);
      }
      reservation.granted += isRoomy ? least + ahead : least;
      return true;
    });
  }

  relieve(reservation: Reservation): Promise<boolean> {
    const more = Math.ceil(this.#options.limits.maxBytes * 0.01);
    return this.#inTurn(async () => {
      if (reservation.sparesSinceMs !== undefined) return this.#makeRoomOf(more, reservation.sparesSinceMs);
      const goal = this.#goal(more);
      const freed = await this.#evict(goal, victimsPerTurn);
      this.#sweep(goal);
      return freed > 0;
    });
  }

  /** Brings the store below its limits: after a start with a smaller limit, or when others fill the disk. */
  async enforce(): Promise<void> {
    if (!(await this.#fits(0))) this.#sweep(this.#goal(0));
    await this.#sweeping;
  }

  forget(reservation: Reservation): void {
    this.#reservations.delete(reservation);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#timer?.cancel();
    await this.#sweeping;
    await this.#turn;
  }

  #promisedBytes(): number {
    let sum = 0;
    for (const reservation of this.#reservations) sum += Math.max(0, reservation.granted - reservation.allocated);
    return sum;
  }

  async #fits(more: number): Promise<boolean> {
    const { store, limits } = this.#options;
    if (this.usedBytes() + more + slackBytes > limits.maxBytes) return false;
    const { freeBytes, totalBytes } = await store.freeSpace();
    return freeBytes - this.#promisedBytes() - more >= limits.minFreeBytes(totalBytes);
  }

  /** What eviction that is due for `more` goes down to: the low watermark, or as many free bytes as there must be. */
  #goal(more: number): Goal {
    const { maxBytes } = this.#options.limits;
    if (this.usedBytes() + more + slackBytes <= maxBytes)
      return { reason: 'free-space', isMet: () => this.#fits(more) };
    // In a very small cache the slack is more than what the low watermark leaves.
    const target = Math.max(Math.min(maxBytes * lowWatermark, maxBytes - slackBytes) - more, 0);
    return { reason: 'size', isMet: async () => this.usedBytes() <= target };
  }

  /** Evicts what is in the way of `more`. False when it does not fit even so. */
  async #makeRoom(more: number): Promise<boolean> {
    const goal = { reason: this.#goal(more).reason, isMet: (): Promise<boolean> => this.#fits(more) };
    const isFresh = this.#eviction === undefined;
    await this.#evict(goal);
    // That pass may have begun long ago; what was open or used then may go now.
    if (!isFresh && !(await goal.isMet())) await this.#evict(goal);
    return goal.isMet();
  }

  /** The same for something that nobody waits for: only what was used before `sparesSinceMs` goes, and no more than needed. */
  async #makeRoomOf(more: number, sparesSinceMs: number): Promise<boolean> {
    const eviction = new Eviction({ ...this.#options, sparesSinceMs });
    const { reason } = this.#goal(more);
    while (!(await this.#fits(more))) if ((await eviction.next(reason)) === undefined) return false;
    return true;
  }

  /** Evicts beside everything else, a turn at a time with grants in between, until the goal is met. */
  #sweep(goal: Goal): void {
    const sweep = async (): Promise<void> => {
      try {
        while (!this.#isClosed && !(await this.#inTurn(() => this.#sweepTurn(goal))));
      } catch (error) {
        this.#options.logger.warn({ err: error }, 'eviction stopped; the next write that needs room goes on');
      } finally {
        this.#eviction = undefined;
        this.#sweeping = undefined;
      }
    };
    if (this.#options.clock.monotonic() - this.#exhaustedAtMs > restMs) this.#sweeping ??= sweep();
  }

  /** True when there is nothing more to do. */
  async #sweepTurn(goal: Goal): Promise<boolean> {
    await this.#evict(goal, victimsPerTurn);
    return this.#eviction === undefined || goal.isMet();
  }

  /** Goes on with the pass that is under way, or begins one. Resolves the bytes freed. */
  async #evict({ reason, isMet }: Goal, most = Infinity): Promise<number> {
    const eviction = (this.#eviction ??= new Eviction(this.#options));
    let freed = 0;
    for (let victims = 0; victims < most && !this.#isClosed && !(await isMet()); victims++) {
      const bytes = await eviction.next(reason);
      if (bytes === undefined) {
        this.#options.logger.debug({ freedBytes: freed, reason }, 'nothing is left to evict');
        this.#eviction = undefined;
        this.#exhaustedAtMs = this.#options.clock.monotonic();
        break;
      }
      freed += bytes;
    }
    return freed;
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(work);
    this.#turn = result.catch(() => undefined);
    return result;
  }

  #schedule(): void {
    this.#timer = this.#options.clock.setTimer(enforceEveryMs, () => {
      // Owned here: a failure is logged, and the next round tries again.
      void this.enforce()
        .catch((error: unknown) => this.#options.logger.warn({ err: error }, 'looking after the free space failed'))
        .finally(() => {
          if (!this.#isClosed) this.#schedule();
        });
    });
  }
}
