/**
 * Referrers: the whole list of a subject is fetched once, whatever filter the first client had, and every client gets its
 * page of it. No answer is ever made up: an upstream that cannot say leaves an error, not an empty list, because a client
 * that looks for signatures would believe it.
 */
import type { Digest } from '../../oci/digest.ts';
import { LRUCache } from 'lru-cache';
import { isJsonObject } from '../../lib/json/json.ts';
import type { RepositoryKey } from '../../store/contract/metadata.ts';
import { isNotFound, isOutage, isUnsupported, UpstreamError } from '../../upstream/contract/errors.ts';
import type { ListingPage } from '../../upstream/contract/upstream.ts';
import type { ReferrersAnswer, ReferrersQuery } from '../contract/cache.ts';
import { contentText, repositoryText } from '../../store/contract/keys.ts';
import { type Fetched, ListingCache, type ListingKey } from './list-cache.ts';
import { RememberedRefusal } from '../freshness/negative-cache.ts';
import type { Outcome } from '../../headers/cache-status.ts';
import type { UpstreamPolicy } from '../contract/upstream-policy.ts';
import type { PolicyDeps } from '../contract/deps.ts';
import { cutReferrers, readReferrers, type Referrer, referrersBounds, referrersOf } from '../../oci/referrers.ts';

/**
 * The upstream has no such API, and said so with this status. Kept like a list and as long: what it makes clients do is to
 * look at the fallback tag, which is there in an outage too, and has its own answer when it is not.
 */
interface NoApi {
  readonly noApi: number;
}

type Known = readonly unknown[] | NoApi;

/** Repositories that have given a list. */
const mostGivers = 10_000;
const maxPages = 64;
const maxBytes = 16 * 1024 * 1024;

export class ReferrerLists {
  readonly #deps: PolicyDeps;
  /** Of lists that are kept: read once, however many pages are asked for. */
  readonly #read = new WeakMap<readonly unknown[], readonly Referrer[]>();
  readonly #lists: ListingCache<Known>;
  readonly #givers = new LRUCache<string, true>({ max: mostGivers });

  constructor(deps: PolicyDeps) {
    this.#deps = deps;
    this.#lists = new ListingCache<Known>(deps, { parse: readKnown, path: [], bounds: referrersBounds });
  }

  async list(query: ReferrersQuery, policy: UpstreamPolicy, signal: AbortSignal): Promise<ReferrersAnswer> {
    const key = { upstream: query.upstream, repository: query.repository };
    const text = `referrers ${contentText(key, query.digest)}`;
    // Subjects can be made up, so only those that weir has served get a row.
    const isKnown = this.#deps.rights.isLinked(key, query.digest, 'manifest');
    // There are registries that say 404 of subjects that they do not know, so of others that tells nothing.
    const listingKey = { text, row: isKnown ? text : undefined, negative: text };
    const ask = (own: AbortSignal): Promise<Fetched<Known>> => this.#ask(key, listingKey, query, policy, own);
    const { value, outcome } = await this.#lists.get(listingKey, policy, ask, signal);
    if ('noApi' in value) throw unsupported(key, value, outcome);
    const referrers = this.#read.get(value) ?? referrersOf(value);
    if (referrers === undefined) throw this.#refused(key, 'bad-referrers', 'what was kept of them cannot be read');
    this.#read.set(value, referrers);
    return { ...cutReferrers(referrers, query), outcome };
  }

  close(): void {
    this.#lists.close();
  }

  async #ask(
    key: RepositoryKey,
    listingKey: ListingKey,
    query: ReferrersQuery,
    policy: UpstreamPolicy,
    signal: AbortSignal,
  ): Promise<Fetched<Known>> {
    try {
      const list = await this.#fetch(key, query, policy, signal);
      this.#noteGiver(key, listingKey);
      return list;
    } catch (error) {
      if (!isUnsupported(error)) throw error;
      // From a repository that has given a list, a page to log in and the like are failures: signatures are known there.
      if (isDoubtful(error) && (await this.#hasGiven(key, listingKey))) throw error.cause;
      return { value: { noApi: error.status ?? 404 }, sizeBytes: 0 };
    }
  }

  #noteGiver(key: RepositoryKey, { row }: ListingKey): void {
    if (this.#givers.get(repositoryText(key)) === true) return;
    this.#givers.set(repositoryText(key), true);
    if (row === undefined) return;
    this.#deps.metadata.lists.put(giverRow(key), { body: '{}', checkedAtMs: this.#deps.clock.now() });
  }

  async #hasGiven(key: RepositoryKey, listingKey: ListingKey): Promise<boolean> {
    if (this.#givers.get(repositoryText(key)) === true) return true;
    return (
      Array.isArray(await this.#lists.known(listingKey)) || this.#deps.metadata.lists.get(giverRow(key)) !== undefined
    );
  }

  async #fetch(
    key: RepositoryKey,
    { digest }: ReferrersQuery,
    policy: UpstreamPolicy,
    signal: AbortSignal,
  ): Promise<Fetched<readonly unknown[]>> {
    const found = new Map<string, Referrer>();
    const seen = new Set<string>();
    let bytes = 0;
    for (let path: string | undefined; ;) {
      const page = await this.#page(key, digest, path, policy, signal);
      const referrers = await readReferrers(page.bytes, page.contentType);
      if (referrers === undefined) throw this.#refused(key, 'bad-referrers', 'the answer is no index');
      for (const referrer of referrers) found.set(referrer.digest, referrer);
      bytes += page.bytes.byteLength;
      path = page.next;
      if (path === undefined)
        return { value: Array.from(found.values(), ({ descriptor }) => descriptor), sizeBytes: bytes };
      if (seen.has(path)) throw this.#refused(key, 'page-loop', 'its pages go round in circles');
      seen.add(path);
      if (seen.size >= maxPages || bytes > maxBytes)
        throw this.#refused(key, 'too-many-referrers', 'the list is too long');
    }
  }

  async #page(
    key: RepositoryKey,
    digest: Digest,
    path: string | undefined,
    { upstream }: UpstreamPolicy,
    signal: AbortSignal,
  ): Promise<ListingPage> {
    if (path === undefined) return upstream.listReferrers(key.repository, digest, {}, signal);
    try {
      return await upstream.listReferrers(key.repository, digest, { path }, signal);
    } catch (error) {
      // There is an API and there are referrers, or there would be no second page.
      if (!isNotFound(error) && !isUnsupported(error)) throw error;
      throw this.#refused(key, 'lost-page', `a page that was promised is missing: ${error.message}`);
    }
  }

  #refused(key: RepositoryKey, reason: string, message: string): UpstreamError {
    this.#deps.events.rejected({ reason });
    const { upstream } = key;
    return new UpstreamError('badResponse', `${upstream}/${key.repository}: referrers: ${message}`, { upstream });
  }
}

/** Stands for all lists of a repository. */
function giverRow(key: RepositoryKey): string {
  return `referrers ${repositoryText(key)}`;
}

/** Nothing in its own words says that there is no API; 405 and 501 do. */
function isDoubtful({ cause, status }: UpstreamError): boolean {
  return isOutage(cause) && status !== 405 && status !== 501;
}

/** What the catalog has kept; undefined when it cannot be read. */
function readKnown(json: unknown): Known | undefined {
  if (Array.isArray(json)) return referrersOf(json) === undefined ? undefined : json;
  return isJsonObject(json) && typeof json['noApi'] === 'number' ? { noApi: json['noApi'] } : undefined;
}

function unsupported({ upstream, repository }: RepositoryKey, { noApi }: NoApi, outcome: Outcome): UpstreamError {
  const message = `${upstream}/${repository}: no referrers API: answered ${noApi}`;
  const refusal = new UpstreamError('unsupported', message, { upstream, status: noApi });
  if (outcome.kind !== 'hit') return refusal;
  return new RememberedRefusal(refusal, outcome.detail === undefined ? undefined : outcome);
}
