/**
 * The upstream's last word where it was "there is none": a list, a repository, a tag that is not there. It is asked anew
 * after moments, but where it gives no answer the last word counts as long as one that was "some" would: clients look at
 * such things before each pull, and a signature that has been revoked must not come back with an outage. What was never
 * asked is not made up.
 *
 * Names can be made up, so that memory has a bound, and only what is said about a stored manifest gets a row.
 */
import { LRUCache } from 'lru-cache';
import { isJsonObject, parseJson, textField } from '../../lib/json/json.ts';
import { isOffline, UpstreamError } from '../../upstream/contract/errors.ts';
import { Ages, staleSeconds } from './age.ts';
import { NegativeCache, RememberedRefusal } from './negative-cache.ts';
import type { UpstreamPolicy } from '../contract/upstream-policy.ts';
import type { PolicyDeps } from '../contract/deps.ts';

const mostNones = 10_000;

export interface NoneKey {
  /** Names the question. */
  readonly text: string;
  /** A row of its own in the catalog; undefined when it is not worth one. */
  readonly row?: string | undefined;
}

interface None {
  readonly refusal: UpstreamError;
  readonly checkedAtMs: number;
}

type Deps = Pick<PolicyDeps, 'metadata' | 'clock' | 'options'>;

export class Nones {
  readonly #deps: Deps;
  /** As long as nobody is asked again. */
  readonly #fresh: NegativeCache;
  readonly #last = new LRUCache<string, None>({ max: mostNones });
  readonly #ages: Ages;

  constructor(deps: Deps) {
    this.#deps = deps;
    this.#fresh = new NegativeCache(deps.clock);
    this.#ages = new Ages(deps.clock);
  }

  /** For as long as the upstream is not asked again. */
  fresh(key: string): RememberedRefusal | undefined {
    return this.#fresh.get(key);
  }

  remember({ text, row }: NoneKey, refusal: UpstreamError): void {
    const { metadata, options } = this.#deps;
    const told = this.#ages.now();
    this.#fresh.remember(text, refusal, options.negativeTtlMs);
    this.#last.set(text, { refusal, checkedAtMs: told.wallMs });
    this.#ages.mark(text, told);
    if (row === undefined) return;
    const { message, status, code } = refusal;
    metadata.lists.put(row, { body: JSON.stringify({ none: text, message, status, code }), checkedAtMs: told.wallMs });
  }

  /** There is something, or it is not for us to know. */
  forget({ text, row }: NoneKey): void {
    const { metadata } = this.#deps;
    this.#last.delete(text);
    if (row !== undefined && metadata.lists.get(row) !== undefined) metadata.lists.forget(row);
  }

  /** The last word, given because there is no newer one; undefined when it was another one, or is too old for that. */
  last(key: NoneKey, { upstream, staleIfErrorMs }: UpstreamPolicy): LastNone | undefined {
    const { options } = this.#deps;
    const none = this.#last.get(key.text) ?? this.#kept(key, upstream.key);
    if (none === undefined) return undefined;
    const age = this.#ages.of(key.text, none.checkedAtMs);
    const isServable = age.outageMs <= options.negativeTtlMs + staleIfErrorMs;
    if (!isServable && !options.offline) return undefined;
    return {
      isServable,
      because: (error) =>
        new RememberedRefusal(none.refusal, {
          kind: 'hit',
          detail: isOffline(error) ? 'offline' : 'stale',
          ttlSeconds: staleSeconds(age, options.negativeTtlMs),
        }),
    };
  }

  #kept({ text, row }: NoneKey, upstream: string): None | undefined {
    const record = row === undefined ? undefined : this.#deps.metadata.lists.get(row);
    if (record === undefined) return undefined;
    // What somebody else wrote is as if it were not there.
    const kept = parseJson(record.body, { depth: 8 });
    if (!isJsonObject(kept) || kept['none'] !== text) return undefined;
    const { status } = kept;
    const [message, code] = [textField(kept, 'message') ?? 'there is none', textField(kept, 'code')];
    const told = { upstream, ...(typeof status === 'number' && { status }), ...(code !== undefined && { code }) };
    return { refusal: new UpstreamError('notFound', message, told), checkedAtMs: record.checkedAtMs };
  }
}

export interface LastNone {
  /** Recent enough for an outage; otherwise only offline. */
  readonly isServable: boolean;
  /** The refusal, marked as an old one. */
  because(error: Error | undefined): RememberedRefusal;
}
