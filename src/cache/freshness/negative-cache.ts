/** The upstream's "there is no such thing", remembered for moments: a push may be about to change it. */
import { LRUCache } from 'lru-cache';
import type { Clock } from '../../lib/clock.ts';
import { UpstreamError } from '../../upstream/contract/errors.ts';
import type { Outcome } from '../../headers/cache-status.ts';

/** A refusal given from memory; the upstream was not asked. */
export class RememberedRefusal extends UpstreamError {
  readonly outcome: Outcome;

  constructor(refusal: UpstreamError, outcome: Outcome = { kind: 'hit', detail: 'negative' }) {
    super(refusal.kind, refusal.message, {
      upstream: refusal.upstream,
      ...(refusal.status === undefined ? {} : { status: refusal.status }),
      ...(refusal.code === undefined ? {} : { code: refusal.code }),
      cause: refusal,
    });
    this.name = 'RememberedRefusal';
    this.outcome = outcome;
  }
}

interface Entry {
  readonly refusal: UpstreamError;
  readonly untilMs: number;
}

export class NegativeCache {
  readonly #clock: Clock;
  readonly #entries: LRUCache<string, Entry>;

  constructor(clock: Clock, max = 4096) {
    this.#clock = clock;
    this.#entries = new LRUCache({ max });
  }

  /** Throws what is remembered under the key. */
  check(key: string): void {
    const refusal = this.get(key);
    if (refusal !== undefined) throw refusal;
  }

  get(key: string): RememberedRefusal | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    if (this.#clock.monotonic() < entry.untilMs) return new RememberedRefusal(entry.refusal);
    this.#entries.delete(key);
    return undefined;
  }

  remember(key: string, refusal: UpstreamError, ttlMs: number): void {
    this.#entries.set(key, { refusal, untilMs: this.#clock.monotonic() + ttlMs });
  }
}
