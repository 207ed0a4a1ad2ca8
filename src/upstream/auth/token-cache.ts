/** Tokens in memory: one request per question however many ask, and a new one before the old one runs out. */
import type { Clock } from '../../lib/clock.ts';
import { Coalesce } from '../../lib/single-flight.ts';
import type { Secret } from '../../lib/secret.ts';
import { lruOf } from '../../lib/lru.ts';
import type { Token } from './token-response.ts';

/** What a token was asked for. Equal questions share a token; nothing else does. */
export interface TokenQuestion {
  readonly realm: URL;
  readonly service: string | undefined;
  readonly scopes: readonly string[];
  /** `identity` of the credential; undefined: anonymous. */
  readonly identity: string | undefined;
}

export interface CachedToken {
  readonly value: Secret;
  /** Counts up with every token: compare with `count` to tell tokens of before some moment from those of after it. */
  readonly number: number;
}

interface Entry extends CachedToken {
  readonly staleAtMs: number;
}

const maxTokens = 1000;
/** A request takes a while to arrive, and clocks of machines differ: the last 30 s, or tenth, are not used. */
const maxSkewMs = 30_000;

export class TokenCache {
  readonly #clock: Pick<Clock, 'monotonic'>;
  readonly #entries = lruOf<string, Entry>(maxTokens);
  readonly #fetches = new Coalesce<Entry>();
  #count = 0;

  constructor(clock: Pick<Clock, 'monotonic'>) {
    this.#clock = clock;
  }

  /** Number of the latest token. */
  get count(): number {
    return this.#count;
  }

  /**
   * The token for `question`, by `fetch` where there is none that is good for a while. Rejects with what `fetch` rejects
   * with, for everyone who waited; nothing is remembered then. `signal` ends the waiting, not the fetch.
   */
  async get(
    question: TokenQuestion,
    fetch: (signal: AbortSignal) => Promise<Token>,
    signal: AbortSignal,
  ): Promise<CachedToken> {
    const key = keyOf(question);
    const found = this.#entries.get(key);
    if (found !== undefined && this.#clock.monotonic() < found.staleAtMs) return found;
    return this.#fetches.run(
      key,
      async (work) => {
        const startedAtMs = this.#clock.monotonic();
        const { value, lifetimeMs } = await fetch(work);
        const staleAtMs = startedAtMs + lifetimeMs - Math.min(maxSkewMs, lifetimeMs / 10);
        const fetched = { value, staleAtMs, number: ++this.#count };
        this.#entries.set(key, fetched);
        return fetched;
      },
      signal,
    );
  }

  /** Forgets a token that a registry did not take, unless it has been replaced meanwhile. */
  drop(question: TokenQuestion, value: Secret): void {
    const key = keyOf(question);
    if (this.#entries.peek(key)?.value === value) this.#entries.delete(key);
  }

  /** Aborts the fetches in flight and forgets everything. */
  close(): void {
    this.#fetches.close();
    this.#entries.clear();
  }
}

function keyOf({ realm, service, scopes, identity }: TokenQuestion): string {
  return JSON.stringify([realm.href, service ?? null, scopes.toSorted(), identity ?? null]);
}
