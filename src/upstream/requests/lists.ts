/** One page of tags/list or of referrers at one endpoint. */
import type { Digest } from '../../oci/digest.ts';
import { nextLink, parseLinks } from '../../headers/link.ts';
import { mediaTypes, stripParameters } from '../../oci/media-type.ts';
import type { Repository } from '../../oci/reference.ts';
import { refusedAnswer } from './refusal.ts';
import { type Answer, askEndpoint, type Attempt, type Endpoint } from './endpoint.ts';
import { UpstreamError } from '../contract/errors.ts';
import { failure } from '../contract/failure.ts';
import { firstOf, linesOf } from '../../headers/content-length.ts';
import { plainText } from './content-encoding.ts';
import { isHtml } from './manifests.ts';
import { withoutSecrets } from '../network/origin.ts';
import { readWhole } from '../exchange/small-body.ts';
import type { ListingPage } from '../contract/upstream.ts';

const maxListingBytes = 8 * 1024 * 1024;

export interface TagsQuestion {
  readonly repository: Repository;
  readonly n?: number;
  readonly last?: string;
  readonly path?: string;
}

/** What is asked for, worked out before any endpoint is asked. */
export interface PageQuestion {
  readonly repository: Repository;
  /** Path of the first page. */
  readonly first: string;
  /** Path and query of this one. */
  readonly page: string;
}

/** What differs from list to list. */
interface ListKind {
  readonly accept: string;
  /** A part of it must not be taken for all of it: a link to a next page that leads nowhere is no end. */
  readonly isAllOrNothing: boolean;
  /** Whether this answer says that there is no such API here. */
  readonly meansNoApi: (told: NoList) => boolean;
}

/** An answer that is no list. */
interface NoList {
  readonly error: UpstreamError;
  readonly from: Answer['from'];
  /** A page for people: to log in, or to say that there is nothing. */
  readonly isPage: boolean;
}

const tagList: ListKind = { accept: mediaTypes.json, isAllOrNothing: false, meansNoApi: () => false };
const referrersList: ListKind = { accept: mediaTypes.ociIndex, isAllOrNothing: true, meansNoApi: hasNoReferrers };

/** Throws `notFound` when `path` belongs to another list: it has been with a client in between. */
export function tagsPage(upstream: string, { repository, n, last, path }: TagsQuestion): PageQuestion {
  const first = `/v2/${repository}/tags/list`;
  const query = new URLSearchParams();
  if (n !== undefined) query.set('n', String(n));
  if (last !== undefined) query.set('last', last);
  const text = query.toString();
  return { repository, first, page: continued(upstream, first, path) ?? (text === '' ? first : `${first}?${text}`) };
}

/** Throws like `tagsPage`. */
export function referrersPage(upstream: string, repository: Repository, digest: Digest, path?: string): PageQuestion {
  const first = `/v2/${repository}/referrers/${digest}`;
  return { repository, first, page: continued(upstream, first, path) ?? first };
}

export function listTagsAt(
  endpoint: Endpoint,
  question: PageQuestion,
  attempt: Attempt,
  nowMs: number,
): Promise<ListingPage> {
  return fetchPage(endpoint, question, tagList, attempt, nowMs);
}

/** Rejects with `unsupported` for all that means no such API; its cause is what the answer would be otherwise. */
export function listReferrersAt(
  endpoint: Endpoint,
  question: PageQuestion,
  attempt: Attempt,
  nowMs: number,
): Promise<ListingPage> {
  return fetchPage(endpoint, question, referrersList, attempt, nowMs);
}

/**
 * An unknown subject is an empty list, so 404 means that the API is missing, unless it names the repository as the reason.
 * So do 400 and 406 (Quay; servers that know other types only), and where a registry sends those who ask for what it does
 * not know: to a page to log in (GAR), or to another site (GHCR), which may answer anything.
 */
function hasNoReferrers({ error: { status, code }, from, isPage }: NoList): boolean {
  if (isPage || from === 'elsewhere') return true;
  if (status === 400 || status === 404) return code !== 'NAME_UNKNOWN' && code !== 'NAME_INVALID';
  return status === 405 || status === 406 || status === 501;
}

function unsupported(error: UpstreamError, from: Answer['from']): UpstreamError {
  const { message, upstream, status } = error;
  const told = { upstream, ...(status !== undefined && { status }) };
  // What is not there on another site is no word of the registry.
  const cause = from === 'registry' ? error : new UpstreamError('badResponse', message, { ...told, cause: error });
  return new UpstreamError('unsupported', message, { ...told, cause });
}

function continued(upstream: string, first: string, path: string | undefined): string | undefined {
  if (path === undefined || path === first || path.startsWith(`${first}?`)) return path;
  throw failure('notFound', upstream, 'a next page that belongs to another list');
}

async function fetchPage(
  endpoint: Endpoint,
  { repository, first, page }: PageQuestion,
  { accept, isAllOrNothing, meansNoApi }: ListKind,
  attempt: Attempt,
  nowMs: number,
): Promise<ListingPage> {
  const { upstream } = attempt;
  const answer = await askEndpoint(endpoint, { method: 'GET', path: page, repository, accept }, attempt);
  const { response, url, shown } = answer;
  const { status, headers } = response;
  const refuse = (error: UpstreamError, isPage = false): UpstreamError =>
    meansNoApi({ error, from: answer.from, isPage }) ? unsupported(error, answer.from) : error;
  if (status !== 200) throw refuse(await refusedAnswer(answer, upstream, nowMs));
  const place = withoutSecrets(url);
  const contentType = firstOf(headers['content-type']);
  const isPage = isHtml(stripParameters(contentType ?? ''));
  if (isPage) {
    response.abort();
    throw refuse(failure('badResponse', upstream, `${place}: no list, but HTML`), isPage);
  }
  const next = nextPage(answer, first);
  if (next.isBroken && isAllOrNothing) {
    response.abort();
    throw failure('badResponse', upstream, `${place}: a Link to a next page that leads nowhere`);
  }
  const sent = await readWhole(response, maxListingBytes, () =>
    failure('tooLarge', upstream, `${place}: a list of more than ${maxListingBytes} bytes`),
  );
  const bytes = await plainText(sent, headers, maxListingBytes, (cause) =>
    failure('badResponse', upstream, `${place}: a Content-Encoding that cannot be undone`, cause),
  );
  return { bytes, contentType, next: next.path, ...(shown !== undefined && { shown }) };
}

/**
 * The next page as a path below the endpoint; without one on the last page. Only the query is taken from the Link: the
 * path and the host are known, and behind a redirect (registry.k8s.io) or a proxy that ends TLS the Link names others,
 * which are not dialled. Broken is a Link to a next page that has no query, and one that cannot be read.
 */
function nextPage(
  { response, url }: Answer,
  first: string,
): { readonly path: string | undefined; readonly isBroken: boolean } {
  const header = linesOf(response.headers.link).join(', ').trim();
  const target = nextLink(header);
  if (target === undefined) return { path: undefined, isBroken: header !== '' && parseLinks(header).length === 0 };
  const search = URL.parse(target, url)?.search ?? '';
  return search === '' ? { path: undefined, isBroken: true } : { path: `${first}${search}`, isBroken: false };
}
