/**
 * One page of tags/list out of as many of the upstream's as it takes. How many it is asked for at once is weir's choice and
 * not the client's: registries refuse what is beyond their own limit (ECR: 405 above 1,000), and a list without pages may
 * be larger than what is read of one answer. One answer is held at a time, and what was gathered of it.
 */
import { LRUCache } from 'lru-cache';
import type { RepositoryKey } from '../../store/contract/metadata.ts';
import { UpstreamError } from '../../upstream/contract/errors.ts';
import type { ListingPage, Upstream } from '../../upstream/contract/upstream.ts';
import { repositoryText } from '../../store/contract/keys.ts';
import type { UpstreamPolicy } from '../contract/upstream-policy.ts';
import type { PolicyDeps } from '../contract/deps.ts';
import { cutPage, maxPageSize, readTags, type TagsPage } from '../../oci/tag-list.ts';

/** Asked for at once, the first that is not refused; undefined: as many as the upstream likes. */
const sizes: readonly (number | undefined)[] = [1000, 100, undefined];
/** Of the upstream's pages for one of ours, while they hold nothing new. */
const maxPages = 64;
/** Of those that do: whoever wants more gets a link, and an answer in time. */
const maxGathered = 10;

/** What the client asked for. */
export interface PageQuery {
  readonly n: number | undefined;
  readonly last: string | undefined;
}

type Asked = Parameters<Upstream['listTags']>[1];

export class TagPages {
  readonly #events: PolicyDeps['events'];
  /** Where a page continues on upstreams that go on by a token of their own instead of `last`. */
  readonly #continuations = new LRUCache<string, string>({ max: 4096 });
  /** How much of `sizes` an upstream has refused. */
  readonly #refused = new Map<string, number>();
  /** Repositories whose list is too large to be asked for without pages. */
  readonly #large = new LRUCache<string, true>({ max: 4096 });

  constructor({ events }: Pick<PolicyDeps, 'events'>) {
    this.#events = events;
  }

  /** Rejects with UpstreamError. */
  async fetch(
    key: RepositoryKey,
    page: PageQuery,
    { upstream }: UpstreamPolicy,
    signal: AbortSignal,
  ): Promise<TagsPage> {
    const isPaged = page.n !== undefined || this.#large.get(repositoryText(key)) === true;
    try {
      return await this.#gather(key, page, isPaged, upstream, signal);
    } catch (error) {
      if (isPaged || !(error instanceof UpstreamError) || error.kind !== 'tooLarge') throw error;
      this.#large.set(repositoryText(key), true);
      return await this.#gather(key, page, true, upstream, signal);
    }
  }

  /**
   * A page that holds nothing new is no end while a next one is promised. An upstream that goes on by tokens sends its first
   * page again when the token was forgotten in a restart.
   */
  async #gather(
    key: RepositoryKey,
    page: PageQuery,
    isPaged: boolean,
    upstream: Upstream,
    signal: AbortSignal,
  ): Promise<TagsPage> {
    const most = isPaged ? (page.n ?? maxPageSize) : undefined;
    const tags: TagsPage['tags'][number][] = [];
    const seen = new Set<string>();
    let gathered = 0;
    let path = this.#continuations.get(continuationText(key, page));
    while (seen.size < maxPages) {
      const leftOver = most === undefined ? undefined : most - tags.length;
      const sent =
        path === undefined
          ? await this.#first(key, page, leftOver, upstream, signal)
          : await upstream.listTags(key.repository, { path }, signal);
      const read = await readTags(sent.bytes);
      if (read === undefined) throw this.#refuse(key, 'bad-tags-page', 'the answer is no list of tags');
      const cut = cutPage(read, { n: leftOver, last: tags.at(-1) ?? page.last }, sent.next);
      // Not spread: of 200,000 that would be too many arguments.
      for (const tag of cut.tags) tags.push(tag);
      if (cut.tags.length > 0) gathered++;
      const isSlice = cut.next !== undefined && cut.continuation === undefined && cut.tags.length === leftOver;
      const goesOn = sent.next !== undefined && !seen.has(sent.next) && !isSlice;
      // A page that would have to be cut in the middle stays for the next answer: tokens lead to its beginning only.
      const isRoom =
        most === undefined ? tags.length === 0 : gathered < maxGathered && most - tags.length >= read.length;
      const isEmpty = cut.tags.length === 0 && cut.next === undefined;
      if (!goesOn || !(isRoom || isEmpty)) return this.#page(key, page, isPaged, tags, cut);
      seen.add(sent.next);
      path = sent.next;
    }
    throw this.#refuse(key, 'too-many-tags-pages', 'its list goes on without any tags');
  }

  /** By pages that the upstream accepts. */
  async #first(
    key: RepositoryKey,
    { last }: PageQuery,
    most: number | undefined,
    upstream: Upstream,
    signal: AbortSignal,
  ): Promise<ListingPage> {
    const ask = (n: number | undefined): Promise<ListingPage> => {
      const asked: Asked = { ...(n === undefined ? {} : { n }), ...(last === undefined ? {} : { last }) };
      return upstream.listTags(key.repository, asked, signal);
    };
    if (most === undefined) return ask(undefined);
    const from = this.#refused.get(upstream.key) ?? 0;
    let refusal: UpstreamError | undefined;
    for (const [index, size] of sizes.entries()) {
      // A smaller number than what the client wants is no other question.
      if (index < from || (index > from && size !== undefined && most <= size)) continue;
      try {
        const sent = await ask(size === undefined ? undefined : Math.min(most, size));
        if (index > from) this.#refused.set(upstream.key, index);
        return sent;
      } catch (error) {
        if (!isAboutSize(error)) throw error;
        refusal ??= error;
      }
    }
    // ECR takes no `last` but its own, and says what it says to everybody who asks for what it does not do.
    if (last !== undefined && refusal !== undefined) throw notSupported(refusal);
    throw refusal ?? new UpstreamError('badResponse', 'no size of a page is left', { upstream: upstream.key });
  }

  #page(
    key: RepositoryKey,
    page: PageQuery,
    isPaged: boolean,
    tags: TagsPage['tags'],
    cut: ReturnType<typeof cutPage>,
  ): TagsPage {
    if (cut.next === undefined) return { tags, next: undefined };
    const next = { n: isPaged ? page.n : cut.next.n, last: cut.next.last };
    if (cut.continuation !== undefined) this.#continuations.set(continuationText(key, next), cut.continuation);
    return { tags, next };
  }

  #refuse({ upstream, repository }: RepositoryKey, reason: string, message: string): UpstreamError {
    this.#events.rejected({ reason });
    return new UpstreamError('badResponse', `${upstream}/${repository}: ${message}`, { upstream });
  }
}

/** What registries answer to an `n` beyond their limit: ECR 405, distribution 400. */
function isAboutSize(error: unknown): error is UpstreamError {
  return (
    error instanceof UpstreamError && error.kind === 'badResponse' && (error.status === 400 || error.status === 405)
  );
}

function notSupported(refusal: UpstreamError): UpstreamError {
  const { upstream, status = 405, message } = refusal;
  return new UpstreamError('unsupported', `no page from there: ${message}`, { upstream, status, cause: refusal });
}

function continuationText(key: RepositoryKey, { n, last }: PageQuery): string {
  return `${repositoryText(key)} ${n ?? ''} ${last ?? ''}`;
}
