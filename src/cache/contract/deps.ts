/** What the policy half of the cache is made of. */
import type { Clock } from '../../lib/clock.ts';
import type { ChangeCounters } from '../../lib/change-counters.ts';
import type { Logger } from '../../lib/log.ts';
import type { BlobStore } from '../../store/contract/blob-store.ts';
import type { Metadata } from '../../store/metadata/metadata.ts';
import type { CacheEvents } from '../../fill/contract/events.ts';
import type { SlowUpstreams } from './slow-upstreams.ts';
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

/** What rights are decided from. */
export interface RightsDeps {
  readonly metadata: Metadata;
  readonly store: BlobStore;
  readonly upstreams: ReadonlyMap<string, UpstreamPolicy>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly options: PolicyOptions;
  /** Told of every change of what an answer may rest on, under the text of its repository. */
  readonly changes: ChangeCounters;
  /** One for rights, manifests and listings; absent, each has its own, and a client may wait for each. */
  readonly slowUpstreams?: SlowUpstreams;
}

export interface PolicyDeps extends RightsDeps {
  readonly rights: Rights;
  readonly events: CacheEvents;
  /** Grants room before something is stored. Absent: there always is. */
  readonly space?: {
    reserve(): { cover(bytes: number, leftBytes: number): boolean | Promise<boolean>; release(): void };
  };
}
