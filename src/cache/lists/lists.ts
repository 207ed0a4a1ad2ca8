/** The lists that a registry gives: tags, referrers, repositories. Rights first. */
import type {
  CatalogAnswer,
  CatalogQuery,
  ReferrersAnswer,
  ReferrersQuery,
  RepositoryQuery,
  TagsAnswer,
  TagsQuery,
} from '../contract/cache.ts';
import { CacheError } from '../../fill/contract/errors.ts';
import { onBehalf } from '../contract/on-behalf.ts';
import type { UpstreamPolicy } from '../contract/upstream-policy.ts';
import type { PolicyDeps } from '../contract/deps.ts';
import { ReferrerLists } from './referrers.ts';
import { shuttingDown } from '../freshness/error-classes.ts';
import { isAborted } from '../../upstream/contract/errors.ts';
import { RepositoryLists } from './repositories.ts';
import { TagLists } from './tags.ts';

/** Every call rejects with CacheError or UpstreamError; a signal ends only the caller's waiting. */
export class Lists {
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
    const policy = onBehalf(this.#policy(query), query);
    return this.#unlessClosed(() => this.#tags.list(query, policy, signal));
  }

  async referrers(query: ReferrersQuery, signal: AbortSignal): Promise<ReferrersAnswer> {
    const policy = onBehalf(this.#policy(query), query);
    return this.#unlessClosed(() => this.#referrers.list(query, policy, signal));
  }

  catalog(query: CatalogQuery, signal: AbortSignal): Promise<CatalogAnswer> {
    return this.#unlessClosed(() => this.#repositories.list(query, signal));
  }

  /** Ends what runs in the background. */
  close(): void {
    this.#isClosed = true;
    this.#tags.close();
    this.#referrers.close();
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
