/** What the policy half of the cache is made of, and what it offers: rights, manifests and listings. */
import type { Clock } from '../../lib/clock.ts';
import type { Generations } from '../../lib/change-counters.ts';
import type { Logger } from '../../lib/log.ts';
import type { BlobStore } from '../../store/contract/blob-store.ts';
import type { Digest } from '../../oci/digest.ts';
import type { Catalog, RepositoryKey } from '../../store/contract/metadata.ts';
import type {
  CatalogAnswer,
  CatalogQuery,
  LeasedAnswer,
  ManifestAnswer,
  ManifestQuery,
  ReferrersAnswer,
  ReferrersQuery,
  TagsAnswer,
  TagsQuery,
} from './cache.ts';
import type { CacheEvents } from '../../fill/contract/events.ts';
import type { Overdue } from './slow-upstreams.ts';
import type { UpstreamPolicy } from './upstream-policy.ts';
import type { Rights } from './rights.ts';

export interface PolicyOptions {
  /** Configured never to dial: what is cached is served whatever its age. */
  readonly offline: boolean;
  /** How long a 404 is remembered. */
  readonly negativeTtlMs: number;
  /** How long tags/list, referrers and `sha256-…` tags are fresh. */
  readonly listingTtlMs: number;
  /** How long a client waits for an answer from upstream before it gets the stale one. */
  readonly staleAfterMs: number;
  /** After a failed revalidation the stale answer is given without asking again for this long. */
  readonly retryMs: number;
  /** Bytes of manifests kept in memory. */
  readonly hotManifestBytes: number;
}

export const defaultPolicyOptions: PolicyOptions = {
  offline: false,
  negativeTtlMs: 5_000,
  listingTtlMs: 30_000,
  staleAfterMs: 2_000,
  retryMs: 5_000,
  hotManifestBytes: 64 * 1024 * 1024,
};

export interface RepositoryRights extends Rights {
  /** Ends what runs in the background. */
  close(): void;
}

/** What rights are decided from. */
export interface RightsDeps {
  readonly catalog: Catalog;
  readonly store: BlobStore;
  readonly upstreams: ReadonlyMap<string, UpstreamPolicy>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly options: PolicyOptions;
  /** Told of every change of what an answer may rest on, under the text of its repository. */
  readonly generations: Generations;
  /** One for rights, manifests and listings; absent, each has its own, and a client may wait for each. */
  readonly overdue?: Overdue;
}

/** What manifests need of `Space`. */
export interface SpaceGrants {
  allot(): { cover(bytes: number, leftBytes: number): boolean | Promise<boolean>; release(): void };
}

export interface PolicyDeps extends RightsDeps {
  readonly rights: RepositoryRights;
  readonly events: CacheEvents;
  /** Grants room before something is stored. Absent: there always is. */
  readonly space?: SpaceGrants;
}

/** Every call rejects with CacheError or UpstreamError; a signal ends only the caller's waiting. */
export interface Manifests {
  manifest(query: ManifestQuery, signal: AbortSignal): Promise<ManifestAnswer>;
  /** See `Cache.peek`. */
  peek(query: ManifestQuery): Promise<LeasedAnswer | undefined>;
  /** The repository has said that it has no such blob: tags that lead to it are due. */
  blobAbsent(key: RepositoryKey, digest: Digest): void;
  /** Ends what runs in the background. */
  close(): void;
}

export interface Listings {
  tags(query: TagsQuery, signal: AbortSignal): Promise<TagsAnswer>;
  referrers(query: ReferrersQuery, signal: AbortSignal): Promise<ReferrersAnswer>;
  catalog(query: CatalogQuery, signal: AbortSignal): Promise<CatalogAnswer>;
  /** Ends what runs in the background. */
  close(): void;
}
