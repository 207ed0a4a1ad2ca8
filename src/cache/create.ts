/** The cache as one thing: composes rights, manifests, listings and blobs over a store, a catalog and the upstreams. */
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/log.ts';
import { Semaphore } from '../lib/semaphore.ts';
import type { BlobStore } from '../store/blob-store.ts';
import type { Catalog } from '../store/catalog.ts';
import { createRights } from './access.ts';
import type { Cache } from './answers.ts';
import { Blobs } from './blobs.ts';
import type { CacheEvents } from './events.ts';
import { FillConnections } from './fill-connections.ts';
import { FillTable } from './fill-table.ts';
import { createListings } from './listings.ts';
import { createManifests } from './manifests.ts';
import { Overdue } from './overdue.ts';
import { type PolicyOptions, defaultPolicyOptions } from './policy-deps.ts';
import type { UpstreamPolicy } from './policy.ts';
import { Space, type SpaceLimits } from './space.ts';

export interface CacheOptions {
  readonly store: BlobStore;
  readonly catalog: Catalog;
  readonly upstreams: ReadonlyMap<string, UpstreamPolicy>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly events: CacheEvents;
  readonly limits: SpaceLimits;
  /** What becomes of a fill that nobody waits for any more. */
  readonly onAbandon: 'finish' | 'keep';
  /** Upstream connections of one fill, at most. */
  readonly connections: number;
  readonly offline: boolean;
  /** Departures from `defaultPolicyOptions`; for tests. */
  readonly policy?: Partial<PolicyOptions>;
}

export interface RunningCache {
  readonly cache: Cache;
  /** Fills under way. */
  fillCount(): number;
  /** Lets fills finish until the signal aborts, then keeps their partials. The store may be closed afterwards. */
  close(deadline: AbortSignal): Promise<void>;
}

export function createCache(options: CacheOptions): RunningCache {
  const { store, catalog, upstreams, clock, logger, events, limits, onAbandon, offline } = options;
  const policy = { ...defaultPolicyOptions, ...options.policy, offline };
  const space = new Space({ store, catalog, clock, logger, events, limits });
  const connections = new FillConnections({ perFill: options.connections, clock });
  const hashTurns = new Semaphore(1);
  const fills = new FillTable({ store, catalog, space, clock, logger, events, connections, hashTurns, onAbandon });
  const overdue = new Overdue();
  const rights = createRights({ catalog, upstreams, clock, logger, overdue, options: policy });
  const deps = { store, catalog, upstreams, clock, logger, events, rights, space, overdue, options: policy };
  const manifests = createManifests(deps);
  const listings = createListings(deps);
  const blobs = new Blobs({ store, catalog, upstreams, rights, fills, clock, logger, events });
  return {
    cache: {
      manifest: (query, signal) => manifests.manifest(query, signal),
      blob: (query, signal) => blobs.get(query, signal),
      tags: (query, signal) => listings.tags(query, signal),
      referrers: (query, signal) => listings.referrers(query, signal),
      catalog: (query) => listings.catalog(query),
      cachedTags: (query) => listings.cachedTags(query),
    },
    fillCount: () => fills.size,
    async close(deadline) {
      await fills.close(deadline);
      manifests.close();
      listings.close();
      rights.close();
      await space.close();
    },
  };
}
