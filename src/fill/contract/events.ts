/** What the cache reports as it works; metrics implements it. Called synchronously and must not throw. */

/** How a fill ended: adopted; proved but not kept (bypass); wrong bytes; upstream failed; stopped on purpose. */
export type FillResult = 'stored' | 'bypassed' | 'mismatch' | 'failed' | 'abandoned';

/** How a prefetch ended: a client came meanwhile; adopted before one came; given up. */
export type PrefetchResult = 'joined' | 'stored' | 'dropped';

export interface CacheEvents {
  fillStarted(event: { upstream: string }): void;
  fillEnded(event: { upstream: string; result: FillResult }): void;
  /** A request joined a fill that was running already. */
  fillJoined(event: { upstream: string }): void;
  /** A transfer that nobody had asked for came to this: a client joined it, or it ended before one did. */
  prefetchEnded(event: { upstream: string; result: PrefetchResult }): void;
  /** A broken transfer was continued. */
  fillResumed(event: { upstream: string }): void;
  /** Bytes of a 206 that left before their blob was proved. */
  unprovedRangeBytes(event: { bytes: number }): void;
  evicted(event: { bytes: number; reason: 'size' | 'free-space' | 'partial' }): void;
  /** Something was refused; the reason is a word from a fixed set (`digest-mismatch`, `size-mismatch`, …). */
  rejected(event: { reason: string }): void;
}
