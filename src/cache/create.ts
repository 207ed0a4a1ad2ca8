/** The cache as one thing: composes rights, manifests, listings and blobs over a store, a catalog and the upstreams. */
import type { Clock } from '../lib/clock.ts';
import { ChangeCounters } from '../lib/change-counters.ts';
import type { Logger } from '../lib/log.ts';
import { Semaphore } from '../lib/semaphore.ts';
import { Shares } from '../lib/sharing/shares.ts';
import type { Digest } from '../oci/digest.ts';
import type { RepositoryKey } from '../store/contract/metadata.ts';
import type { Metadata } from '../store/metadata/metadata.ts';
import type { BlobStore } from '../store/contract/blob-store.ts';
import { UpstreamRights } from './visibility/upstream-rights.ts';
import type { BlobQuery, Cache, LeasedAnswer, PeekQuery } from './contract/cache.ts';
import { Blobs } from './blobs/blobs.ts';
import type { CacheEvents } from '../fill/contract/events.ts';
import { FillConnections } from '../fill/schedule/connections.ts';
import { FillTable } from '../fill/fills.ts';
import { Keeping } from '../fill/contract/keeping.ts';
import { Lists } from './lists/lists.ts';
import { Manifests } from './manifests/manifests.ts';
import { DownloadWorkers } from '../fill/worker/pool.ts';
import { SlowUpstreams } from './contract/slow-upstreams.ts';
import { type PolicyOptions, defaultPolicyOptions } from './contract/deps.ts';
import type { UpstreamPolicy } from './contract/upstream-policy.ts';
import { Prefetch } from './prefetch/prefetch.ts';
import { Space, type SpaceLimits } from '../fill/space/space.ts';

export interface CacheOptions {
  readonly store: BlobStore;
  readonly metadata: Metadata;
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
  /** Undefined: only what clients ask for is brought. */
  readonly prefetch?: { readonly maxBytes: number } | undefined;
  /** Departures from `defaultPolicyOptions`; for tests. */
  readonly policy?: Partial<PolicyOptions>;
}

/** Blobs at once that are proved from their own files. */
const mostProofs = 64;

export interface RunningCache {
  readonly cache: Cache;
  /** By which leases are found to be current or not, on any thread. */
  readonly changes: ChangeCounters;
  /** Fills under way. */
  fillCount(): number;
  /** Starts what the first miss would otherwise have to wait for. */
  warmUp(): void;
  /** Lets fills finish until the signal aborts, then keeps their partials. The store may be closed afterwards. */
  close(deadline: AbortSignal): Promise<void>;
}

export function createCache(options: CacheOptions): RunningCache {
  const { store, metadata, upstreams, clock, logger, events, limits, onAbandon, offline } = options;
  const policy = { ...defaultPolicyOptions, ...options.policy, offline };
  const changes = new ChangeCounters();
  const space = new Space({ store, metadata, clock, logger, events, limits, changes });
  const workers = new DownloadWorkers(logger);
  const connections = new FillConnections({ perFill: options.connections, clock, busyMs: () => workers.busyMs() });
  const hashTurns = new Semaphore(1);
  const keeping = new Keeping();
  const shared = { store, metadata, space, clock, logger, events, connections, keeping, hashTurns, workers };
  const slowUpstreams = new SlowUpstreams((key) => upstreams.get(key)?.upstream.answeredAtMs);
  const rights = new UpstreamRights({
    metadata,
    store,
    upstreams,
    clock,
    logger,
    slowUpstreams,
    options: policy,
    changes,
  });
  const fills = new FillTable({ ...shared, rights, proofs: new Shares(mostProofs), onAbandon });
  const deps = {
    store,
    metadata,
    upstreams,
    clock,
    logger,
    events,
    rights,
    space,
    slowUpstreams,
    options: policy,
    changes,
  };
  const manifests = new Manifests(deps);
  const listings = new Lists(deps);
  const prefetch =
    options.prefetch === undefined || offline
      ? undefined
      : new Prefetch({ metadata, upstreams, fills, clock, logger, events, maxBytes: options.prefetch.maxBytes });
  const onAsked = prefetch && ((query: BlobQuery): void => prefetch.asked(query));
  const onAbsent = (key: RepositoryKey, digest: Digest): void => manifests.blobAbsent(key, digest);
  const asked = { onAsked, onAbsent };
  const blobs = new Blobs({ store, metadata, upstreams, rights, fills, clock, logger, events, changes, ...asked });
  const peek = async (query: PeekQuery): Promise<LeasedAnswer | undefined> => {
    try {
      if (query.kind === 'blob') return await blobs.peek(query);
      const answer = await manifests.peek(query);
      // From now on it is read without being seen.
      if (answer !== undefined) prefetch?.read({ ...query, client: undefined }, answer);
      return answer;
    } catch (error) {
      // Whoever is not answered from memory asks in full, and gets the error if it is still there.
      logger.debug({ err: error }, 'an answer could not be leased');
      return undefined;
    }
  };
  return {
    changes,
    cache: {
      async manifest(query, signal) {
        const answer = await manifests.manifest(query, signal);
        prefetch?.read(query, answer);
        return answer;
      },
      blob: (query, signal) => blobs.get(query, signal),
      tags: (query, signal) => listings.tags(query, signal),
      referrers: (query, signal) => listings.referrers(query, signal),
      catalog: (query, signal) => listings.catalog(query, signal),
      peek: (query) => peek(query),
    },
    fillCount: () => fills.size,
    warmUp() {
      if (!offline) workers.pick();
    },
    async close(deadline) {
      prefetch?.close();
      await fills.close(deadline);
      await workers.close();
      manifests.close();
      listings.close();
      rights.close();
      await space.close();
    },
  };
}
