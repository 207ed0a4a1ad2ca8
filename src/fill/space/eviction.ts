/** One pass over what may go: kept partials first, then blobs from the least recently used on. */
import { setImmediate } from 'node:timers/promises';
import type { ChangeCounters } from '../../lib/change-counters.ts';
import type { Logger } from '../../lib/log.ts';
import type { Digest } from '../../oci/digest.ts';
import { type BlobStore, StoreError } from '../../store/contract/blob-store.ts';
import type { BlobRow } from '../../store/contract/metadata.ts';
import type { Metadata } from '../../store/metadata/metadata.ts';
import type { CacheEvents } from '../contract/events.ts';

export interface EvictionDeps {
  readonly store: BlobStore;
  readonly metadata: Metadata;
  readonly logger: Logger;
  readonly events: CacheEvents;
  /** Told of every digest that goes. */
  readonly changes: ChangeCounters;
  /** What was used at this time or later stays; epoch milliseconds. Undefined: everything may go. */
  readonly sparesSinceMs?: number;
}

/** Blobs that are passed over between two turns of everything else. */
const passedPerTurn = 64;

export class Eviction {
  readonly #deps: EvictionDeps;
  readonly #blobs: Iterator<BlobRow>;

  constructor(deps: EvictionDeps) {
    this.#deps = deps;
    this.#blobs = deps.metadata.blobs.oldestFirst()[Symbol.iterator]();
  }

  /** Removes the next one and resolves the bytes that it had on disk, or undefined when nothing is left to remove. */
  async next(reason: 'size' | 'free-space'): Promise<number | undefined> {
    const { store, events } = this.#deps;
    const spared = this.#deps.sparesSinceMs ?? Infinity;
    const partial = store.partials().find(({ updatedAtMs }) => updatedAtMs < spared);
    if (partial !== undefined) {
      await store.removePartial(partial.key);
      events.evicted({ bytes: partial.allocatedBytes, reason: 'partial' });
      return partial.allocatedBytes;
    }
    for (let passed = 1; ; passed++) {
      const next = this.#blobs.next();
      // They come in the order of their last use.
      if (next.done === true || next.value.lastUsedMs >= spared) return undefined;
      const { digest } = next.value;
      // Somebody reads it, so nothing would be freed now, or it cannot be removed; the next one instead.
      const bytes = store.isOpen(digest) ? undefined : await this.#remove(digest);
      if (bytes !== undefined) {
        events.evicted({ bytes, reason });
        return bytes;
      }
      if (passed % passedPerTurn === 0) await setImmediate();
    }
  }

  async #remove(digest: Digest): Promise<number | undefined> {
    try {
      const freed = await this.#deps.store.remove(digest);
      this.#deps.changes.bump(digest);
      return freed;
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      this.#deps.logger.warn({ err: error, digest }, 'a blob cannot be removed');
      return undefined;
    }
  }
}
