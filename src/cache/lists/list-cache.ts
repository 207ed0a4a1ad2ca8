/**
 * Listings (tags/list pages, referrers): fresh for half a minute, asked for once at a time, stale during an outage when
 * marked so. The catalog keeps them across restarts, memory keeps them parsed.
 */
import { LRUCache } from 'lru-cache';
import { isJsonObject, type JsonBounds } from '../../lib/json/json.ts';
import { certificatePlace } from '../../upstream/credentials/credentials.ts';
import { isDeniedForGood, isNotFound, isOffline, UpstreamError } from '../../upstream/contract/errors.ts';
import { Ages, freshSeconds, staleSeconds } from '../freshness/age.ts';
import { parseLongJson } from '../../lib/json/long.ts';
import { Nones } from '../freshness/nones.ts';
import type { Outcome } from '../../headers/cache-status.ts';
import type { UpstreamPolicy } from '../contract/upstream-policy.ts';
import type { PolicyDeps } from '../contract/deps.ts';
import { Refresh } from '../freshness/revalidate.ts';

/** Parsed listings in memory, counted by the length of their JSON. */
const maxHotCharacters = 16 * 1024 * 1024;
/** Larger ones live in memory only. */
const maxKeptCharacters = 4 * 1024 * 1024;

const memberRow = 'all ';

export interface ListingKey {
  /** Names the listing. */
  readonly text: string;
  /** Its row in the catalog, which may be shared with others; undefined when it is not worth one. */
  readonly row: string | undefined;
  /** Where a missing repository is remembered. */
  readonly negative: string;
}

export interface Listing<T> {
  readonly value: T;
  readonly outcome: Outcome;
}

/** What an upstream gave. */
export interface Fetched<T> {
  readonly value: T;
  /** Of the answers that it was read from. */
  readonly sizeBytes: number;
}

export interface Kept<T> {
  /** Reads back what the catalog has kept; undefined when it cannot. */
  readonly parse: (json: unknown) => T | undefined;
  /** Where its long array is: names in names, none when it is the value itself. */
  readonly path: readonly string[];
  readonly bounds: JsonBounds;
}

interface Entry<T> {
  readonly value: T;
  readonly checkedAtMs: number;
  readonly size: number;
}

export class ListingCache<T> {
  readonly #deps: PolicyDeps;
  readonly #kept: Kept<T>;
  readonly #hot: LRUCache<string, Entry<T>>;
  readonly #ages: Ages;
  readonly #refresh: Refresh<T>;
  readonly #nones: Nones;

  constructor(deps: PolicyDeps, kept: Kept<T>) {
    this.#deps = deps;
    this.#kept = kept;
    this.#hot = new LRUCache({ maxSize: maxHotCharacters, sizeCalculation: ({ size }) => size });
    this.#ages = new Ages(deps.clock);
    this.#refresh = new Refresh(deps.clock, deps.options, deps.slowUpstreams);
    this.#nones = new Nones(deps);
  }

  /** `fetch` asks the upstream, once for all who wait. Rejects with what it throws, unless an old answer will do. */
  async get(
    asked: ListingKey,
    policy: UpstreamPolicy,
    fetch: (signal: AbortSignal) => Promise<Fetched<T>>,
    signal: AbortSignal,
  ): Promise<Listing<T>> {
    const { listingTtlMs } = this.#deps.options;
    const key = policy.access === 'all' || policy.upstream.isAt(certificatePlace) ? ofAll(asked) : asked;
    const entry = await this.#find(key);
    const age = entry === undefined ? undefined : this.#ages.of(key.text, entry.checkedAtMs);
    if (entry !== undefined && age !== undefined && age.freshnessMs < listingTtlMs) {
      return { value: entry.value, outcome: { kind: 'hit', ttlSeconds: freshSeconds(age, listingTtlMs) } };
    }
    const refusal = this.#nones.fresh(key.negative);
    if (refusal !== undefined) throw refusal;
    const none = entry === undefined ? this.#nones.last({ text: key.negative }, policy) : undefined;
    const isServable = age !== undefined && age.outageMs <= listingTtlMs + policy.staleIfErrorMs;
    const question = {
      key: key.text,
      upstream: policy.upstream.key,
      hasStale: isServable || none?.isServable === true,
    };
    const told = await this.#refresh.run(question, (own) => this.#ask(key, fetch, own), signal);
    if (told.kind === 'answered') {
      const kind = entry === undefined ? 'miss' : 'stale';
      const outcome = { kind, isStored: true, ttlSeconds: Math.ceil(listingTtlMs / 1000) } as const;
      return { value: told.value, outcome: told.isCollapsed ? { ...outcome, isCollapsed: true } : outcome };
    }
    if (none !== undefined && (none.isServable || isOffline(told.error))) throw none.because(told.error);
    if (entry === undefined || age === undefined || !(isServable || isOffline(told.error))) {
      throw told.error ?? new UpstreamError('timeout', 'no answer', { upstream: policy.upstream.key });
    }
    const detail = isOffline(told.error) ? 'offline' : 'stale';
    return { value: entry.value, outcome: { kind: 'hit', ttlSeconds: staleSeconds(age, listingTtlMs), detail } };
  }

  /** What is known of it, however old. */
  async known(key: ListingKey): Promise<T | undefined> {
    return (await this.#find(key))?.value;
  }

  close(): void {
    this.#refresh.close();
  }

  async #ask(key: ListingKey, fetch: (signal: AbortSignal) => Promise<Fetched<T>>, signal: AbortSignal): Promise<T> {
    const asked = this.#ages.now();
    try {
      const fetched = await fetch(signal);
      const { value } = fetched;
      this.#keep(key, fetched, asked.wallMs);
      this.#ages.mark(key.text, asked);
      this.#nones.forget({ text: key.negative });
      return value;
    } catch (error) {
      if (isNotFound(error)) this.#nones.remember({ text: key.negative }, error);
      else if (isDeniedForGood(error)) this.#nones.forget({ text: key.negative });
      // These are answers: what was listed before is not true any more, or not for us.
      if (isNotFound(error) || isDeniedForGood(error)) this.#forget(key);
      throw error;
    }
  }

  #keep(key: ListingKey, { value, sizeBytes }: Fetched<T>, checkedAtMs: number): void {
    // Making one text of a long list would keep everybody waiting.
    const body = sizeBytes > maxKeptCharacters ? undefined : JSON.stringify({ key: key.text, value });
    this.#hot.set(key.text, { value, checkedAtMs, size: body?.length ?? sizeBytes });
    if (key.row === undefined || body === undefined || body.length > maxKeptCharacters) return;
    this.#deps.metadata.lists.put(key.row, { body, checkedAtMs });
  }

  async #find(key: ListingKey): Promise<Entry<T> | undefined> {
    const hot = this.#hot.get(key.text);
    if (hot !== undefined || key.row === undefined) return hot;
    const record = this.#deps.metadata.lists.get(key.row);
    if (record === undefined) return undefined;
    const value = await this.#read(key, record.body);
    // Another one may have come from the upstream meanwhile, or word that there is none.
    const newer = this.#hot.get(key.text);
    const isGone = this.#deps.metadata.lists.get(key.row)?.checkedAtMs !== record.checkedAtMs;
    if (newer !== undefined || value === undefined || isGone) return newer;
    const entry = { value, checkedAtMs: record.checkedAtMs, size: record.body.length };
    this.#hot.set(key.text, entry);
    return entry;
  }

  /** Undefined for another listing of the same row, and for what somebody else has written. */
  async #read(key: ListingKey, body: string): Promise<T | undefined> {
    const { path, bounds, parse } = this.#kept;
    // `{"key":…,"value":…}`.
    const inside = { ...bounds, depth: bounds.depth + 1, items: (bounds.items ?? 0) + 16 };
    const kept = await parseLongJson(body, ['value', ...path], inside);
    if (kept === undefined) {
      this.#deps.logger.warn({ listing: key.text }, 'a kept listing cannot be read and is dropped');
      return undefined;
    }
    return isJsonObject(kept) && kept['key'] === key.text ? parse(kept['value']) : undefined;
  }

  #forget(key: ListingKey): void {
    this.#hot.delete(key.text);
    if (key.row !== undefined) this.#deps.metadata.lists.forget(key.row);
  }
}

/** What was listed with a credential is not what `access: public` may show later: it has a row of its own. */
function ofAll(key: ListingKey): ListingKey {
  return key.row === undefined ? key : { ...key, row: `${memberRow}${key.row}` };
}
