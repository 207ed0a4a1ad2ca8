/** One page of tags/list or of referrers at one endpoint. */
import type { Digest } from '../oci/digest.ts';
import { nextLink } from '../oci/link-header.ts';
import { mediaTypes, stripParameters } from '../oci/media-type.ts';
import type { Repository } from '../oci/reference.ts';
import { refusedAnswer } from './answer.ts';
import { type Answer, askEndpoint, type Attempt, type Endpoint } from './endpoint.ts';
import { UpstreamError } from './errors.ts';
import { failure } from './failure.ts';
import { firstOf, linesOf } from './framing.ts';
import { isEncoded, isHtml } from './manifests.ts';
import { isSameOrigin, withoutSecrets } from './origin.ts';
import { readWhole } from './small-body.ts';
import type { ListingPage } from './upstream.ts';

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
  return fetchPage(endpoint, question, mediaTypes.json, attempt, nowMs);
}

export async function listReferrersAt(
  endpoint: Endpoint,
  question: PageQuestion,
  attempt: Attempt,
  nowMs: number,
): Promise<ListingPage> {
  try {
    return await fetchPage(endpoint, question, mediaTypes.ociIndex, attempt, nowMs);
  } catch (error) {
    if (!(error instanceof UpstreamError) || !meansNoApi(error)) throw error;
    throw new UpstreamError('unsupported', error.message, {
      upstream: error.upstream,
      ...(error.status !== undefined && { status: error.status }),
      cause: error,
    });
  }
}

/** An unknown subject is an empty list, so 404 means the API is missing, unless it names the repository as the reason. */
function meansNoApi({ status, code }: UpstreamError): boolean {
  if (status === 404) return code !== 'NAME_UNKNOWN' && code !== 'NAME_INVALID';
  return status === 405 || status === 501 || (status === 400 && code === 'UNSUPPORTED');
}

function continued(upstream: string, first: string, path: string | undefined): string | undefined {
  if (path === undefined || path === first || path.startsWith(`${first}?`)) return path;
  throw failure('notFound', upstream, 'a next page that belongs to another list');
}

async function fetchPage(
  endpoint: Endpoint,
  { repository, first, page }: PageQuestion,
  accept: string,
  attempt: Attempt,
  nowMs: number,
): Promise<ListingPage> {
  const { upstream } = attempt;
  const answer = await askEndpoint(endpoint, { method: 'GET', path: page, repository, accept }, attempt);
  const { response, url } = answer;
  const { status, headers } = response;
  if (status !== 200) throw await refusedAnswer(answer, upstream, nowMs);
  const place = withoutSecrets(url);
  const contentType = firstOf(headers['content-type']);
  if (isEncoded(headers) || isHtml(stripParameters(contentType ?? ''))) {
    response.abort();
    throw failure('badResponse', upstream, `${place}: no list, but HTML or an encoding that was not asked for`);
  }
  const bytes = await readWhole(response, maxListingBytes, () =>
    failure('tooLarge', upstream, `${place}: a list of more than ${maxListingBytes} bytes`),
  );
  const filtersApplied = firstOf(headers['oci-filters-applied']);
  return { bytes, contentType, next: nextPage(answer, first), filtersApplied };
}

/**
 * The next page as a path below the endpoint. Only the query is taken from the Link, and only when it leads to the
 * origin that sent it: the path is known, and behind a redirect (registry.k8s.io) the Link names another registry's.
 */
function nextPage({ response, url }: Answer, first: string): string | undefined {
  const target = nextLink(linesOf(response.headers.link).join(', '));
  const next = target === undefined ? null : URL.parse(target, url);
  if (next === null || !isSameOrigin(next, url) || next.search === '') return undefined;
  return `${first}${next.search}`;
}
