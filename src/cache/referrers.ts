/**
 * Referrers: the whole list of a subject is fetched once, whatever filter the first client had, and every client gets its
 * page of it. No answer is ever made up: an upstream that cannot say leaves an error, not an empty list, because a client
 * that looks for signatures would believe it.
 */
import type { Digest } from '../oci/digest.ts';
import type { RepositoryKey } from '../store/catalog.ts';
import { UpstreamError } from '../upstream/errors.ts';
import type { ListingPage } from '../upstream/upstream.ts';
import type { ReferrersAnswer, ReferrersQuery } from './answers.ts';
import { contentText } from './keys.ts';
import { ListingCache } from './listing-cache.ts';
import type { UpstreamPolicy } from './policy.ts';
import type { PolicyDeps } from './policy-deps.ts';
import { cutReferrers, readReferrers, type Referrer, referrersOf } from './referrers-index.ts';
import { isNotFound, isUnsupported } from './refusals.ts';

const maxPages = 64;
const maxBytes = 16 * 1024 * 1024;

export class ReferrerLists {
  readonly #deps: PolicyDeps;
  readonly #lists: ListingCache<readonly unknown[]>;

  constructor(deps: PolicyDeps) {
    this.#deps = deps;
    this.#lists = new ListingCache<readonly unknown[]>(deps, (json) =>
      Array.isArray(json) && referrersOf(json) !== undefined ? json : undefined,
    );
  }

  async list(query: ReferrersQuery, policy: UpstreamPolicy, signal: AbortSignal): Promise<ReferrersAnswer> {
    const key = { upstream: query.upstream, repository: query.repository };
    const text = `referrers ${contentText(key, query.digest)}`;
    // Subjects can be made up, so only those that weir has served get a row.
    const isKnown = this.#deps.rights.isLinked(key, query.digest, 'manifest');
    const { value, outcome } = await this.#lists.get(
      // There are registries that say 404 of subjects that they do not know, so of others that tells nothing.
      { text, row: isKnown ? text : undefined, negative: text },
      policy,
      (own) => this.#fetch(key, query, policy, own),
      signal,
    );
    const referrers = referrersOf(value);
    if (referrers === undefined) throw this.#refused(key, 'bad-referrers', 'what was kept of them cannot be read');
    return { ...cutReferrers(referrers, query), outcome };
  }

  close(): void {
    this.#lists.close();
  }

  async #fetch(
    key: RepositoryKey,
    { digest }: ReferrersQuery,
    policy: UpstreamPolicy,
    signal: AbortSignal,
  ): Promise<readonly unknown[]> {
    const found = new Map<string, Referrer>();
    const seen = new Set<string>();
    let bytes = 0;
    for (let path: string | undefined; ;) {
      const page = await this.#page(key, digest, path, policy, signal);
      const referrers = readReferrers(page.bytes, page.contentType);
      if (referrers === undefined) throw this.#refused(key, 'bad-referrers', 'the answer is no index');
      for (const referrer of referrers) found.set(referrer.digest, referrer);
      bytes += page.bytes.byteLength;
      path = page.next;
      if (path === undefined) return [...found.values()].map(({ descriptor }) => descriptor);
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
