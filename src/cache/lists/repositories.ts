/** _catalog: what is cached and may be told to anybody. */
import { setImmediate } from 'node:timers/promises';
import { Semaphore } from '../../lib/semaphore.ts';
import { certificatePlace } from '../../upstream/credentials/credentials.ts';
import type { CatalogAnswer, CatalogQuery } from '../contract/cache.ts';
import type { PolicyDeps } from '../contract/deps.ts';

/** Names in one page when the client does not say, and at most. */
const defaultPageSize = 1000;
const maxPageSize = 10_000;
/** Repositories looked at before others have their turn: two pages of the catalog's, about a millisecond. */
const lookedAtPerTurn = 200;

interface Deps extends Pick<PolicyDeps, 'upstreams'> {
  readonly metadata: { readonly repositories: Pick<PolicyDeps['metadata']['repositories'], 'of'> };
}

/**
 * Reads as many repositories as the page has, and those that it passes over. Of what may not be told there can be any
 * number, so everybody else has turns in between, and one list is made at a time: many clients together cost no more of a
 * turn than one. The page cannot end early instead: its link would name what may not be told.
 */
export class RepositoryLists {
  readonly #deps: Deps;
  /** Returns when others have had a turn. */
  readonly #pause: () => Promise<unknown>;
  readonly #turn = new Semaphore(1);

  constructor(deps: Deps, pause: () => Promise<unknown> = () => setImmediate()) {
    this.#deps = deps;
    this.#pause = pause;
  }

  /** Rejects with the signal's reason. */
  async list({ upstream, n, last }: CatalogQuery, signal: AbortSignal): Promise<CatalogAnswer> {
    const limit = Math.min(n ?? defaultPageSize, maxPageSize);
    if (limit === 0) return { repositories: [], next: undefined };
    using _turn = await this.#turn.acquire('normal', signal);
    const repositories: string[] = [];
    let lookedAt = 0;
    for (const name of namesAfter(this.#deps, upstream, last ?? '')) {
      if (name !== undefined && repositories.length === limit) {
        const end = repositories.at(-1);
        return { repositories, next: end === undefined ? undefined : { n: limit, last: end } };
      }
      if (name !== undefined) repositories.push(name);
      if (++lookedAt % lookedAtPerTurn > 0) continue;
      await this.#pause();
      signal.throwIfAborted();
    }
    return { repositories, next: undefined };
  }
}

/**
 * By byte, as distribution sorts: the names of one upstream lie together, in the order of the upstreams with their slash.
 * Undefined in the place of each name that may not be told.
 */
function* namesAfter(
  { metadata, upstreams }: Deps,
  only: string | undefined,
  last: string,
): Generator<string | undefined> {
  const prefixes = only === undefined ? [...upstreams.keys()].map((key) => `${key}/`).toSorted(byUnit) : [''];
  for (const prefix of prefixes) {
    if (last > prefix && !last.startsWith(prefix)) continue;
    const after = last.startsWith(prefix) ? last.slice(prefix.length) : '';
    const upstream = only ?? prefix.slice(0, -1);
    const policy = upstreams.get(upstream);
    if (policy === undefined) continue;
    const isAll = policy.access === 'all' || policy.upstream.isAt(certificatePlace);
    for (const { repository, isPublic } of metadata.repositories.of(upstream, after)) {
      yield isPublic || isAll ? `${prefix}${repository}` : undefined;
    }
  }
}

function byUnit(one: string, other: string): number {
  return one < other ? -1 : 1;
}
