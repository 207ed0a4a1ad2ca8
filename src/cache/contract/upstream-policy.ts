/** What the cache knows about one upstream: the way to it and the operator's rules for it. */
import type { Upstream } from '../../upstream/contract/upstream.ts';

export interface UpstreamPolicy {
  readonly upstream: Upstream;
  /** `public`: serve only what an anonymous client could read there; `all`: whatever the credential can read. */
  readonly access: 'public' | 'all';
  /** Milliseconds that a tag counts as fresh. */
  readonly tagTtlMs: number;
  /** Milliseconds beyond freshness that the last known answer may be served during an outage. */
  readonly staleIfErrorMs: number;
  /** Milliseconds that one question there may take; 60,000 if undefined. */
  readonly headTimeoutMs?: number;
  /** True for tags that are never revalidated. */
  readonly isImmutableTag: (tag: string) => boolean;
}
