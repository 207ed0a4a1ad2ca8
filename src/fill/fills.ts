/**
 * Who owns an in-flight fill: this table, one per cache, never a request. At most one fill per (digest, upstream); between
 * looking one up and inserting it nothing is awaited. An entry leaves only when the store has what it takes of it.
 */
import type { Digest } from '../oci/digest.ts';
import type { RequestRange } from '../headers/range.ts';
import type { Repository } from '../oci/reference.ts';
import type { Upstream } from '../upstream/contract/upstream.ts';
import type { PrefetchTerms } from './audience.ts';
import { Deserted } from './deserted.ts';
import { BrokenBodyError, CacheError } from './contract/errors.ts';
import type { FillContext } from './context.ts';
import { Fill } from './fill.ts';
import { Oversized } from './oversized.ts';

/** An endpoint that sent wrong bytes is asked last for this long. */
const suspectMs = 10 * 60_000;

export interface JoinRequest {
  readonly upstream: Upstream;
  readonly digest: Digest;
  readonly repository: Repository;
  readonly firstRange: RequestRange | undefined;
  /** See `FillOptions`. */
  readonly isProof?: boolean;
  /** For a new fill that no client has asked for. */
  readonly prefetch?: PrefetchTerms;
}

export class FillTable {
  readonly #context: FillContext;
  readonly #fills = new Map<string, Fill>();
  /** Endpoint to the monotonic time until which it is suspect. */
  readonly #suspects = new Map<string, number>();
  readonly #deserted = new Deserted();
  readonly #oversized: Oversized;
  #isClosed = false;

  constructor(context: FillContext) {
    this.#context = context;
    this.#oversized = new Oversized(context.clock);
  }

  get size(): number {
    return this.#fills.size;
  }

  /** What was brought last could not be kept. Whoever waits for a blob gets it all the same. */
  get isRefused(): boolean {
    return this.#context.keeping.isRefused;
  }

  get(upstream: string, digest: Digest): Fill | undefined {
    return this.#fills.get(keyOf(upstream, digest));
  }

  /** An upstream says how large a blob is. A manifest's word does not count: anybody can write one. */
  sized(upstream: string, digest: Digest, sizeBytes: number | undefined): void {
    if (this.#context.space.isTooLarge(sizeBytes ?? 0)) this.#oversized.add(keyOf(upstream, digest));
  }

  /** It can never be stored, by what this upstream lately said: a fill would be of no use. */
  isTooLarge(upstream: string, digest: Digest): boolean {
    return this.#oversized.has(keyOf(upstream, digest));
  }

  /**
   * The running fill, or a new one through `repository`. A fill that is being stopped must be waited for first
   * (`isEnding`, `done`): its partial is what the next one continues.
   */
  join(request: JoinRequest): { readonly fill: Fill; readonly isNew: boolean } {
    const { upstream, digest, repository, firstRange, prefetch, isProof } = request;
    const key = keyOf(upstream.key, digest);
    const running = this.#fills.get(key);
    if (running !== undefined) {
      this.#context.events.fillJoined({ upstream: upstream.key });
      return { fill: running, isNew: false };
    }
    if (this.#isClosed) throw shuttingDown(upstream);
    const fill = new Fill(this.#context, {
      digest,
      upstream,
      repository,
      firstRange,
      prefetch,
      deserted: this.#deserted,
      isProof,
      avoidEndpoints: this.#currentSuspects(),
      onMismatch: (endpoints) => this.#suspect(endpoints),
    });
    this.#fills.set(key, fill);
    // Owned here: `done` never rejects, and this is what ends the entry.
    void fill.done.then(() => {
      this.#fills.delete(key);
      this.sized(upstream.key, digest, fill.leftBytes);
    });
    return { fill, isNew: true };
  }

  /** Lets running fills finish until the signal aborts, then stops them, keeping their partials. */
  async close(deadline: AbortSignal): Promise<void> {
    this.#isClosed = true;
    const stopAll = (): void => {
      for (const fill of this.#fills.values()) {
        const cause = shuttingDown(fill.upstream);
        fill.stop(new BrokenBodyError(cause.message, { cause }));
      }
    };
    if (deadline.aborted) stopAll();
    else deadline.addEventListener('abort', stopAll, { once: true });
    await Promise.all([...this.#fills.values()].map((fill) => fill.done));
    deadline.removeEventListener('abort', stopAll);
  }

  #suspect(endpoints: Iterable<string>): void {
    const until = this.#context.clock.monotonic() + suspectMs;
    for (const endpoint of endpoints) this.#suspects.set(endpoint, until);
  }

  #currentSuspects(): string[] {
    const now = this.#context.clock.monotonic();
    for (const [endpoint, until] of this.#suspects) if (until <= now) this.#suspects.delete(endpoint);
    return [...this.#suspects.keys()];
  }
}

function shuttingDown(upstream: Upstream): CacheError {
  return new CacheError('shuttingDown', upstream.key, 'weir is shutting down');
}

function keyOf(upstream: string, digest: Digest): string {
  return `${digest}|${upstream}`;
}
