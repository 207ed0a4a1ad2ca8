/** What is known about repositories being public, and how long each word counts. Asks nobody. */
import { LRUCache } from 'lru-cache';
import type { RepositoryKey } from '../store/catalog.ts';
import { Ages, type Moment } from './age.ts';
import { repositoryText } from './keys.ts';
import type { RightsDeps } from './policy-deps.ts';

/**
 * `public`: proven, and lately · `ageing`: proven, but it is time to ask again in the background · `held`: proven once, to
 * be asked again before it counts, unless nobody can be asked · `private`: refused lately · undefined: nothing is known.
 */
export type Verdict = 'public' | 'ageing' | 'held' | 'private' | undefined;

export class Verdicts {
  readonly #deps: RightsDeps;
  readonly #ages: Ages;
  /**
   * Refusals, by monotonic time. Not in the catalog: they live for a minute, and clients could fill it with names that
   * exist nowhere.
   */
  readonly #refusals = new LRUCache<string, number>({ max: 4096 });

  /** Held ones about which nobody could be asked a moment ago, and until when that counts, by monotonic time. */
  readonly #held = new LRUCache<string, number>({ max: 4096 });

  constructor(deps: RightsDeps) {
    this.#deps = deps;
    this.#ages = new Ages(deps.clock);
  }

  now(): Moment {
    return this.#ages.now();
  }

  of(key: RepositoryKey): Verdict {
    const { options, clock, catalog } = this.#deps;
    const refusedMs = this.#refusals.get(repositoryText(key));
    if (refusedMs !== undefined && clock.monotonic() - refusedMs < options.privateTtlMs) return 'private';
    const verdict = catalog.verdict(key);
    if (verdict === undefined || !verdict.isPublic) return undefined;
    const age = this.#ages.of(repositoryText(key), verdict.checkedAtMs);
    if (age.freshnessMs < options.publicTtlMs / 2) return 'public';
    if (age.freshnessMs < options.publicTtlMs) return 'ageing';
    const isHeld = options.offline || age.outageMs < options.publicTtlMs + options.publicHoldMs;
    return isHeld ? 'held' : undefined;
  }

  /** For how many milliseconds the repository is `public` by what is known now; 0 when it is not. */
  publicForMs(key: RepositoryKey): number {
    if (this.of(key) !== 'public') return 0;
    const { catalog, options } = this.#deps;
    const age = this.#ages.of(repositoryText(key), catalog.verdict(key)?.checkedAtMs ?? 0);
    return Math.max(0, options.publicTtlMs / 2 - age.freshnessMs);
  }

  /** Whether the word counts without asking anyone. */
  isProven(key: RepositoryKey): boolean {
    const verdict = this.of(key);
    return verdict === 'public' || verdict === 'ageing' || (verdict === 'held' && this.#isUnanswerable(key));
  }

  /** Nobody could be asked about it: while it is `held`, its word counts for the time in which nobody is asked again. */
  hold(key: RepositoryKey): void {
    const { clock, options } = this.#deps;
    this.#held.set(repositoryText(key), clock.monotonic() + options.retryMs);
  }

  /** `asked`: when the question was sent. */
  record(key: RepositoryKey, isPublic: boolean, asked: Moment): void {
    const { catalog } = this.#deps;
    const text = repositoryText(key);
    if (isPublic) this.#refusals.delete(text);
    else this.#refusals.set(text, asked.monotonicMs);
    this.#held.delete(text);
    // A refusal is written only to end an earlier positive word.
    if (isPublic || catalog.verdict(key)?.isPublic === true) {
      catalog.putVerdict(key, { isPublic, checkedAtMs: asked.wallMs });
      this.#ages.mark(text, asked);
    }
    this.#deps.generations.bump(text);
  }

  #isUnanswerable(key: RepositoryKey): boolean {
    const { clock, options } = this.#deps;
    return options.offline || clock.monotonic() < (this.#held.get(repositoryText(key)) ?? 0);
  }
}
