/** _catalog: what is cached and may be told to anybody. */
import type { CatalogAnswer, CatalogQuery } from './answers.ts';
import type { PolicyDeps } from './policy-deps.ts';

/** Names in one page when the client does not say, and at most. */
const defaultPageSize = 1000;
const maxPageSize = 10_000;

type Deps = Pick<PolicyDeps, 'catalog' | 'rights' | 'upstreams'>;

/** Reads as many repositories as the page has, and those that it passes over: never all there are. */
export function listRepositories(deps: Deps, { upstream, n, last }: CatalogQuery): CatalogAnswer {
  const limit = Math.min(n ?? defaultPageSize, maxPageSize);
  const repositories: string[] = [];
  for (const name of namesAfter(deps, upstream, last ?? '')) {
    if (repositories.length === limit) {
      const end = repositories.at(-1);
      return { repositories, next: end === undefined ? undefined : { n: limit, last: end } };
    }
    repositories.push(name);
  }
  return { repositories, next: undefined };
}

/** By byte, as distribution sorts: the names of one upstream lie together, in the order of the upstreams with their slash. */
function* namesAfter({ catalog, rights, upstreams }: Deps, only: string | undefined, last: string): Generator<string> {
  const prefixes = only === undefined ? [...upstreams.keys()].map((key) => `${key}/`).toSorted(byUnit) : [''];
  for (const prefix of prefixes) {
    if (last > prefix && !last.startsWith(prefix)) continue;
    const after = last.startsWith(prefix) ? last.slice(prefix.length) : '';
    for (const key of catalog.repositoriesOf(only ?? prefix.slice(0, -1), after)) {
      if (rights.isOpen(key)) yield `${prefix}${key.repository}`;
    }
  }
}

function byUnit(one: string, other: string): number {
  return one < other ? -1 : 1;
}
