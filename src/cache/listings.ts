/** The lists that a registry gives: tags, referrers, repositories. Rights first. */
import type { RepositoryKey } from '../store/catalog.ts';
import type {
  CatalogAnswer,
  CatalogQuery,
  ReferrersAnswer,
  ReferrersQuery,
  RepositoryQuery,
  TagsAnswer,
  TagsQuery,
} from './answers.ts';
import { CacheError } from './errors.ts';
import type { UpstreamPolicy } from './policy.ts';
import type { Listings, PolicyDeps } from './policy-deps.ts';
import { ReferrerLists } from './referrers.ts';
import { isAborted, isNotFound, shuttingDown } from './refusals.ts';
import { RepositoryLists } from './repositories.ts';
import { TagLists } from './tags.ts';

export function createListings(deps: PolicyDeps): Listings {
  return new CachedListings(deps);
}

class CachedListings implements Listings {
  readonly #deps: PolicyDeps;
  readonly #tags: TagLists;
  readonly #referrers: ReferrerLists;
  readonly #repositories: RepositoryLists;
  #isClosed = false;

  constructor(deps: PolicyDeps) {
    this.#deps = deps;
    this.#tags = new TagLists(deps);
    this.#referrers = new ReferrerLists(deps);
    this.#repositories = new RepositoryLists(deps);
  }

  async tags(query: TagsQuery, signal: AbortSignal): Promise<TagsAnswer> {
    const policy = this.#policy(query);
    return this.#unlessClosed(async () => {
      await this.#deps.rights.admit(keyOf(query), undefined, signal);
      return this.#tags.list(query, policy, signal);
    });
  }

  async referrers(query: ReferrersQuery, signal: AbortSignal): Promise<ReferrersAnswer> {
    const policy = this.#policy(query);
    return this.#unlessClosed(async () => {
      await this.#admitSubject(query, signal);
      return this.#referrers.list(query, policy, signal);
    });
  }

  catalog(query: CatalogQuery, signal: AbortSignal): Promise<CatalogAnswer> {
    return this.#unlessClosed(() => this.#repositories.list(query, signal));
  }

  close(): void {
    this.#isClosed = true;
    this.#tags.close();
    this.#referrers.close();
  }

  /**
   * A subject need not exist (clients ask about made-up ones to find out about the API): then anything else proves. Where
   * nothing does, 404 would say that there is no API.
   */
  async #admitSubject(query: ReferrersQuery, signal: AbortSignal): Promise<void> {
    const { rights } = this.#deps;
    try {
      await rights.admit(keyOf(query), { digest: query.digest, kind: 'manifest' }, signal);
    } catch (error) {
      if (!isNotFound(error)) throw error;
      await this.#admitUnproved(query, signal);
    }
  }

  async #admitUnproved(query: ReferrersQuery, signal: AbortSignal): Promise<void> {
    try {
      await this.#deps.rights.admit(keyOf(query), undefined, signal);
    } catch (error) {
      if (!isNotFound(error)) throw error;
      const { upstream, repository } = query;
      const message = `${upstream}/${repository}: nothing shows that it is public`;
      throw new CacheError('denied', upstream, message, { cause: error });
    }
  }

  async #unlessClosed<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw this.#isClosed && isAborted(error) ? shuttingDown(error) : error;
    }
  }

  #policy({ upstream }: RepositoryQuery): UpstreamPolicy {
    const policy = this.#deps.upstreams.get(upstream);
    if (policy !== undefined) return policy;
    throw new CacheError('nameUnknown', upstream, `no upstream ${upstream} is configured`);
  }
}

function keyOf({ upstream, repository }: RepositoryQuery): RepositoryKey {
  return { upstream, repository };
}
