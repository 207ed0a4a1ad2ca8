/** _catalog: what is cached and may be told to anybody. */
import type { CatalogAnswer, CatalogQuery } from './answers.ts';
import type { PolicyDeps } from './policy-deps.ts';

/** Names in one page when the client does not say, and at most. */
const defaultPageSize = 1000;
const maxPageSize = 10_000;

export function listRepositories(
  { catalog, rights }: Pick<PolicyDeps, 'catalog' | 'rights'>,
  { upstream, n, last }: CatalogQuery,
): CatalogAnswer {
  const limit = Math.min(n ?? defaultPageSize, maxPageSize);
  const names = catalog
    .repositories()
    .filter((key) => (upstream === undefined || key.upstream === upstream) && rights.isOpen(key))
    .map((key) => (upstream === undefined ? `${key.upstream}/${key.repository}` : key.repository))
    // By UTF-16 unit, which for these names is by byte, as distribution sorts.
    .toSorted((a, b) => (a < b ? -1 : 1));
  const rest = last === undefined ? names : names.filter((name) => name > last);
  const repositories = rest.slice(0, limit);
  const end = repositories.at(-1);
  const next = end === undefined || repositories.length === rest.length ? undefined : { n: limit, last: end };
  return { repositories, next };
}
