/** tags/list: the upstream's pages as the client asked for them; offline, the tags that weir knows. */
import { createHash } from 'node:crypto';
import { isJsonObject } from '../../lib/json/json.ts';
import { parseTag, type Tag } from '../../oci/reference.ts';
import type { RepositoryKey } from '../../store/contract/metadata.ts';
import type { TagsAnswer, TagsQuery } from '../contract/cache.ts';
import { repositoryText } from '../../store/contract/keys.ts';
import { type Fetched, ListingCache } from './list-cache.ts';
import type { UpstreamPolicy } from '../contract/upstream-policy.ts';
import type { PolicyDeps } from '../contract/deps.ts';
import { isOffline } from '../../upstream/contract/errors.ts';
import { type PageQuery, TagPages } from './fetch-tags.ts';
import { maxPageSize, tagsBounds, type TagsPage } from '../../oci/tag-list.ts';

/** Rows in the catalog for the pages of one repository: clients choose `n` and `last`, so there must be a bound. */
const rowsPerRepository = 16;
export class TagLists {
  readonly #deps: PolicyDeps;
  readonly #pages: ListingCache<TagsPage>;
  readonly #fetched: TagPages;

  constructor(deps: PolicyDeps) {
    this.#deps = deps;
    this.#pages = new ListingCache(deps, { parse: readPage, path: ['tags'], bounds: tagsBounds });
    this.#fetched = new TagPages(deps);
  }

  async list(query: TagsQuery, policy: UpstreamPolicy, signal: AbortSignal): Promise<TagsAnswer> {
    const key = { upstream: query.upstream, repository: query.repository };
    // Nothing is wanted, but whether there is such a repository is still a question.
    const n = query.n === undefined ? undefined : Math.min(Math.max(query.n, 1), maxPageSize);
    const page = { n, last: query.last };
    const text = pageText(key, page);
    const listingKey = { text, row: rowOf(key, text), negative: repositoryText(key) };
    try {
      const { value, outcome } = await this.#pages.get(
        listingKey,
        policy,
        async (own) => sized(await this.#fetched.fetch(key, page, policy, own)),
        signal,
      );
      return query.n === 0 ? { tags: [], next: undefined, outcome } : { ...value, outcome };
    } catch (error) {
      if (isOffline(error)) return this.#known(key, query, error);
      throw error;
    }
  }

  close(): void {
    this.#pages.close();
  }

  /** Everything that was pulled by tag through weir and could be pulled now. */
  #known(key: RepositoryKey, query: PageQuery, error: unknown): TagsAnswer {
    const { metadata, rights } = this.#deps;
    const known = metadata.tags.of(key).filter((tag) => {
      const bound = metadata.tags.get({ ...key, tag });
      return bound?.isDenied === false && rights.isLinked(key, bound.digest, 'manifest');
    });
    if (known.length === 0) throw error;
    const { last, n } = query;
    const rest = last === undefined ? known : known.filter((tag) => tag > last);
    const tags = n === undefined ? rest : rest.slice(0, n);
    const end = tags.at(-1);
    const next = end === undefined || tags.length === rest.length ? undefined : { n, last: end };
    return { tags, next, outcome: { kind: 'hit', detail: 'offline' } };
  }
}

/** With its quotes and commas. */
function sized(page: TagsPage): Fetched<TagsPage> {
  return { value: page, sizeBytes: page.tags.reduce((sum, { length }) => sum + length + 3, 0) };
}

function pageText(key: RepositoryKey, { n, last }: PageQuery): string {
  return `tags ${repositoryText(key)} ${n ?? ''} ${last ?? ''}`;
}

function rowOf(key: RepositoryKey, text: string): string {
  const slot = createHash('sha256').update(text).digest().readUInt8(0) % rowsPerRepository;
  return `tags ${repositoryText(key)} ${slot}`;
}

/** A page as the catalog has kept it. */
function readPage(json: unknown): TagsPage | undefined {
  if (!isJsonObject(json) || !Array.isArray(json['tags'])) return undefined;
  const tags = json['tags'].flatMap((tag: unknown): Tag[] => {
    const parsed = typeof tag === 'string' ? parseTag(tag) : undefined;
    return parsed === undefined ? [] : [parsed];
  });
  const next = json['next'];
  if (!isJsonObject(next)) return { tags, next: undefined };
  const { n, last } = next;
  if (typeof last !== 'string') return undefined;
  return { tags, next: { n: typeof n === 'number' ? n : undefined, last } };
}
