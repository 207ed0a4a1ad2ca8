/**
 * What the cache did with a request, in the words of RFC 9211. One value feeds the Cache-Status header, the log field
 * and the metric label.
 */

export interface Outcome {
  /** `hit`: answered from the cache; else why the request went to an upstream. */
  readonly kind: 'hit' | 'miss' | 'stale' | 'bypass';
  /** The request joined a transfer that another one had started. */
  readonly isCollapsed?: boolean;
  /** The answer was, or is being, stored. */
  readonly isStored?: boolean;
  /** Remaining freshness in whole seconds; negative when stale. Absent for what never expires. */
  readonly ttlSeconds?: number;
  readonly detail?: 'stale' | 'unproved' | 'negative' | 'offline';
}

/** The closed set of metric label and log values. */
export type OutcomeLabel = 'hit' | 'stale' | 'revalidated' | 'miss' | 'collapsed' | 'bypass' | 'negative' | 'none';

export function outcomeLabel(outcome: Outcome | undefined): OutcomeLabel {
  if (outcome === undefined) return 'none';
  if (outcome.detail === 'negative') return 'negative';
  switch (outcome.kind) {
    case 'hit':
      return outcome.detail === 'stale' ? 'stale' : 'hit';
    case 'stale':
      return 'revalidated';
    case 'miss':
      return outcome.isCollapsed === true ? 'collapsed' : 'miss';
    case 'bypass':
      return 'bypass';
  }
}

/** The Cache-Status header value, e.g. `weir; fwd=miss; stored` (RFC 9211 section 2). */
export function formatCacheStatus(outcome: Outcome): string {
  let text = outcome.kind === 'hit' ? 'weir; hit' : `weir; fwd=${outcome.kind}`;
  if (outcome.isCollapsed === true) text += '; collapsed';
  if (outcome.isStored === true) text += '; stored';
  if (outcome.ttlSeconds !== undefined) text += `; ttl=${outcome.ttlSeconds}`;
  if (outcome.detail !== undefined) text += `; detail=${outcome.detail}`;
  return text;
}
