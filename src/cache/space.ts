/**
 * Keeps the store inside its limits: reservations a little ahead of what is written, and least-recently-used eviction.
 * What counts is what lies on disk: blobs, open ingests and kept partials, unlinked files that a reader still holds, the
 * catalog, and everything that was promised to a fill but is not written yet.
 */
import type { Clock, Timer } from '../lib/clock.ts';
import type { Generations } from '../lib/generations.ts';
import type { Logger } from '../lib/log.ts';
import type { Digest } from '../oci/digest.ts';
import { type BlobStore, StoreError } from '../store/blob-store.ts';
import type { Catalog } from '../store/catalog.ts';
import type { CacheEvents } from './events.ts';

/** Most that is reserved ahead of what is written (an upstream may claim any size). */
const aheadBytes = 32 * 1024 * 1024;
/** Eviction goes on down to this part of the limit, so that it does not run for every blob. */
const lowWatermark = 0.9;
/** Directory blocks and what the catalog writes between two looks. */
const slackBytes = 2 * 1024 * 1024;
const enforceEveryMs = 30_000;
const victimsPerStep = 64;

export interface SpaceLimits {
  readonly maxBytes: number;
  /** Bytes of the file system that stay free, as a function of its size. */
  readonly minFreeBytes: (totalBytes: number) => number;
}

export interface SpaceOptions {
  readonly store: BlobStore;
  readonly catalog: Catalog;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly events: CacheEvents;
  readonly limits: SpaceLimits;
  /** Told of every digest that goes. */
  readonly generations: Generations;
}

/** One fill's part of the space. Release it when the fill has ended; what was written stays counted by the store. */
export class Lease {
  readonly #space: Space;
  /** Nothing used at this time or later is evicted for it; epoch milliseconds, undefined: everything may be. */
  #sparesSinceMs: number | undefined;
  #isRefused = false;
  /** Granted, counted in bytes of the spool. */
  granted = 0;
  /** Of those, on disk. */
  allocated = 0;

  constructor(space: Space, sparesSinceMs: number | undefined) {
    this.#space = space;
    this.#sparesSinceMs = sparesSinceMs;
  }

  get sparesSinceMs(): number | undefined {
    return this.#sparesSinceMs;
  }

  /** From now on it is worth evicting for. */
  spareNothing(): void {
    this.#sparesSinceMs = undefined;
  }

  /**
   * Makes sure that the spool may grow to `bytes` (allocated bytes, including the write to come); `leftBytes` of the blob
   * are not written yet, Infinity when unknown. False when there is no room and none can be made.
   */
  cover(bytes: number, leftBytes: number): boolean | Promise<boolean> {
    if (this.#isRefused) return false;
    this.allocated = bytes;
    return bytes <= this.granted ? true : this.#space.grant(this, bytes, Math.min(aheadBytes, leftBytes));
  }

  /** Nothing more will be granted. */
  refuse(): void {
    this.#isRefused = true;
  }

  /** The disk said "full": evicts down to the low watermark. True when anything went. */
  relieve(): Promise<boolean> {
    return this.#space.relieve(this);
  }

  release(): void {
    this.#space.forget(this);
  }
}

export class Space {
  readonly #options: SpaceOptions;
  readonly #leases = new Set<Lease>();
  /** Grants and evictions happen one after the other. */
  #turn: Promise<unknown> = Promise.resolve();
  #timer: Timer | undefined;
  #isClosed = false;

  constructor(options: SpaceOptions) {
    this.#options = options;
    this.#schedule();
  }

  /** With `sparesSinceMs` (epoch milliseconds), nothing that was used then or later is evicted for this one. */
  lease(sparesSinceMs?: number): Lease {
    const lease = new Lease(this, sparesSinceMs);
    this.#leases.add(lease);
    return lease;
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

  grant(lease: Lease, bytes: number, ahead: number): Promise<boolean> {
    return this.#inTurn(async () => {
      if (bytes <= lease.granted) return true;
      const wanted = bytes + ahead - lease.granted;
      const least = bytes - lease.granted;
      for (const more of [wanted, least]) {
        if (!(await this.#fits(more))) await this.#evict(more, lease);
        if (!(await this.#fits(more))) continue;
        lease.granted += more;
        return true;
      }
      return false;
    });
  }

  relieve(lease: Lease): Promise<boolean> {
    return this.#inTurn(async () => (await this.#evict(Math.ceil(this.#options.limits.maxBytes * 0.01), lease)) > 0);
  }

  /** Brings the store below its limits: after a start with a smaller limit, or when others fill the disk. */
  enforce(): Promise<void> {
    return this.#inTurn(async () => {
      if (!(await this.#fits(0))) await this.#evict(0);
    });
  }

  forget(lease: Lease): void {
    this.#leases.delete(lease);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#timer?.cancel();
    await this.#turn;
  }

  #promisedBytes(): number {
    let sum = 0;
    for (const lease of this.#leases) sum += Math.max(0, lease.granted - lease.allocated);
    return sum;
  }

  async #fits(more: number): Promise<boolean> {
    const { store, limits } = this.#options;
    if (this.usedBytes() + more + slackBytes > limits.maxBytes) return false;
    const { freeBytes, totalBytes } = await store.freeSpace();
    return freeBytes - this.#promisedBytes() - more >= limits.minFreeBytes(totalBytes);
  }

  /** Evicts until `more` fits and the low watermark is reached, or nothing is left to evict. Resolves the bytes freed. */
  async #evict(more: number, lease?: Lease): Promise<number> {
    const { store, catalog, events, limits, logger } = this.#options;
    const isOverSize = this.usedBytes() + more + slackBytes > limits.maxBytes;
    const reason = isOverSize ? 'size' : 'free-space';
    // In a very small cache the slack is more than what the low watermark leaves.
    const target = Math.min(limits.maxBytes * lowWatermark, limits.maxBytes - slackBytes) - more;
    let freed = 0;
    const isSpared = (usedAtMs: number): boolean => usedAtMs >= (lease?.sparesSinceMs ?? Infinity);
    const isEnough = async (): Promise<boolean> =>
      isOverSize ? this.usedBytes() <= Math.max(target, 0) : this.#fits(more);

    for (const partial of store.partials()) {
      if (await isEnough()) return freed;
      if (isSpared(partial.updatedAtMs)) continue;
      await store.removePartial(partial.key);
      freed += partial.allocatedBytes;
      events.evicted({ bytes: partial.allocatedBytes, reason: 'partial' });
    }
    for (let skip = 0; !this.#isClosed;) {
      const victims = catalog.oldest(victimsPerStep + skip).slice(skip);
      if (victims.length === 0) break;
      for (const victim of victims) {
        if (await isEnough()) return freed;
        // They come in the order of their last use.
        if (isSpared(victim.lastUsedMs)) return freed;
        const bytes = store.isOpen(victim.digest) ? undefined : await this.#remove(victim.digest);
        if (bytes === undefined) {
          // Somebody reads it, so nothing would be freed now, or it cannot be removed; the next one instead.
          skip += 1;
          continue;
        }
        freed += bytes;
        events.evicted({ bytes, reason });
      }
    }
    logger.debug({ freedBytes: freed, reason }, 'nothing is left to evict');
    return freed;
  }

  async #remove(digest: Digest): Promise<number | undefined> {
    try {
      const freed = await this.#options.store.remove(digest);
      this.#options.generations.bump(digest);
      return freed;
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      this.#options.logger.warn({ err: error, digest }, 'a blob cannot be removed');
      return undefined;
    }
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
