/**
 * One value for one `/v2/` request, parsed from the raw request target: after this, nothing else looks at the path.
 *
 * The path is read from the right, because components of a repository name may be `manifests`, `blobs` or `tags`
 * (distribution-spec, "Pulling manifests"). Nothing is decoded or normalised, apart from one `%3A` in the last segment,
 * which some proxies make of the colon of a digest: what is not plain is refused.
 */
import { type Digest, isDigestGrammar, parseDigest } from './digest.ts';
import { OciError, type OciErrorCode } from './errors.ts';
import { parsePathName, parseReference, type PathName, type Reference } from './reference.ts';

interface Page {
  /** How many entries at most; 0 asks for none. */
  readonly n?: number;
  /** The entry after which the page starts. */
  readonly last?: string;
}

interface Named {
  readonly name: PathName;
}

type Route =
  | { readonly kind: 'ping' }
  | ({ readonly kind: 'manifest'; readonly reference: Reference } & Named)
  | ({ readonly kind: 'blob'; readonly digest: Digest } & Named)
  | ({ readonly kind: 'tags' } & Named & Page)
  | ({ readonly kind: 'referrers'; readonly digest: Digest; readonly artifactType?: string } & Named & Page)
  | ({ readonly kind: 'catalog' } & Page)
  /** Any path below `blobs/uploads/`, with any method. */
  | ({ readonly kind: 'upload' } & Named);

/** A method other than GET and HEAD on a route that can only be read. */
interface Push {
  readonly kind: 'push';
  readonly route: 'ping' | 'manifest' | 'blob' | 'tags' | 'referrers' | 'catalog';
  readonly name?: PathName;
}

export type V2Request = (Route | Push) & {
  readonly method: string;
  /** Every value of `ns`, in order. More than one is for routing to refuse. */
  readonly ns: readonly string[];
};

export interface V2ParseError {
  readonly kind: 'invalid';
  readonly error: OciError;
}

/**
 * Parses `rawTarget`, the request line's second word, undecoded. An absolute-form target (RFC 9112 §3.2.2) counts only
 * when its authority equals `host`, the request's Host header. Never throws.
 */
export function parseV2Request(method: string, rawTarget: string, host?: string): V2Request | V2ParseError {
  const target = originForm(rawTarget, host);
  if (target === undefined) return invalid('NAME_INVALID', 'the request target names another host');
  const mark = target.indexOf('?');
  const search = new URLSearchParams(mark === -1 ? '' : target.slice(mark + 1));
  const route = parsePath(mark === -1 ? target : target.slice(0, mark), search);
  const isRead = method === 'GET' || method === 'HEAD';
  if (route.kind === 'invalid') return isRead ? asRead(route) : route;
  const rest = { ns: search.getAll('ns'), method };
  if (isRead || route.kind === 'upload') return { ...route, ...rest };
  return { kind: 'push', route: route.kind, ...('name' in route ? { name: route.name } : {}), ...rest };
}

function parsePath(path: string, search: URLSearchParams): Route | V2ParseError {
  if (path === '/v2' || path === '/v2/') return { kind: 'ping' };
  if (!path.startsWith('/v2/')) return unknownRoute();
  const cut = path.lastIndexOf('/') + 1;
  const last = path.slice(cut).replace(/%3a/i, ':');
  if (path.slice(0, cut).includes('%') || last.includes('%')) {
    return invalid('NAME_INVALID', 'percent-encoding is not accepted in the path');
  }
  const segments = [...path.slice('/v2/'.length, cut).split('/').slice(0, -1), last];
  if (
    segments.some((segment, i) => segment === '.' || segment === '..' || (segment === '' && i < segments.length - 1))
  ) {
    return invalid('NAME_INVALID', 'empty and dot segments are not accepted in the path');
  }
  if (segments.length === 1 && last === '_catalog') return withPage({ kind: 'catalog' }, search);
  return parseSegments(segments, search);
}

function parseSegments(segments: readonly string[], search: URLSearchParams): Route | V2ParseError {
  const last = segments.at(-1) ?? '';
  const verb = segments.at(-2) ?? '';
  const before = (count: number): string => segments.slice(0, -count).join('/');
  if (verb === 'uploads' && segments.at(-3) === 'blobs') return named(before(3), (name) => ({ kind: 'upload', name }));
  if (verb === 'blobs' && last === 'uploads') return named(before(2), (name) => ({ kind: 'upload', name }));
  if (last === '') return unknownRoute();
  if (verb === 'tags' && last === 'list') return named(before(2), (name) => withPage({ kind: 'tags', name }, search));
  if (verb === 'manifests') return named(before(2), (name) => manifestRoute(name, last));
  if (verb !== 'blobs' && verb !== 'referrers') return unknownRoute();
  return named(before(2), (name) => {
    const digest = parseDigest(last);
    if (digest === undefined) return badDigest(last);
    if (verb === 'blobs') return { kind: 'blob', name, digest };
    // The specification knows one. A client that names several (containerd 2.4.2, core/remotes/docker/referrers.go) means
    // any of them: it gets all referrers, and is not told that they were filtered.
    const [artifactType = '', another] = search.getAll('artifactType');
    const isFilter = artifactType !== '' && another === undefined;
    return withPage({ kind: 'referrers', name, digest, ...(isFilter ? { artifactType } : {}) }, search);
  });
}

/** What can be no tag is there no more than any other tag that is not; only for a push it is wrong. */
function asRead({ error }: V2ParseError): V2ParseError {
  const { message, detail } = error;
  return error.code === 'TAG_INVALID' ? invalid('MANIFEST_UNKNOWN', message, detail) : { kind: 'invalid', error };
}

function manifestRoute(name: PathName, last: string): Route | V2ParseError {
  const reference = parseReference(last);
  if (reference !== undefined) return { kind: 'manifest', name, reference };
  return last.includes(':') ? badDigest(last) : invalid('TAG_INVALID', 'invalid tag', { tag: clip(last) });
}

function named(text: string, make: (name: PathName) => Route | V2ParseError): Route | V2ParseError {
  if (text === '') return unknownRoute();
  const name = parsePathName(text);
  return name === undefined ? invalid('NAME_INVALID', 'invalid repository name', { name: clip(text) }) : make(name);
}

function withPage<R extends object>(route: R, search: URLSearchParams): (R & Page) | V2ParseError {
  const page = readPage(search);
  if (page !== undefined) return { ...route, ...page };
  return invalid('PAGINATION_NUMBER_INVALID', 'n must be a whole number that is not negative', {
    n: clip(search.get('n') ?? ''),
  });
}

/** The path and query of a target; undefined when it belongs to another host. */
function originForm(target: string, host: string | undefined): string | undefined {
  const absolute = /^https?:\/\/([^/?#]*)/i.exec(target);
  if (absolute === null) return target;
  if (host === undefined || absolute[1]?.toLowerCase() !== host.toLowerCase()) return undefined;
  return target.slice(absolute[0].length);
}

function badDigest(text: string): V2ParseError {
  const message = isDigestGrammar(text) ? 'unsupported digest algorithm or length' : 'invalid digest';
  return invalid('DIGEST_INVALID', message, { digest: clip(text) });
}

function unknownRoute(): V2ParseError {
  return { kind: 'invalid', error: new OciError('UNSUPPORTED', { status: 404, message: 'no such endpoint' }) };
}

function invalid(code: OciErrorCode, message: string, detail?: unknown): V2ParseError {
  return { kind: 'invalid', error: new OciError(code, { message, detail }) };
}

/** Enough of the client's own text to recognise it, in an answer of bounded size. */
function clip(text: string): string {
  return text.length <= 300 ? text : `${text.slice(0, 300)}…`;
}

/** The page asked for, or undefined when `n` is not a whole number; an empty `n` counts as absent, as in distribution. */
function readPage(search: URLSearchParams): Page | undefined {
  const text = search.get('n') ?? '';
  const last = search.get('last') ?? '';
  const n = Number(text);
  if (text !== '' && !(/^[0-9]+$/.test(text) && Number.isSafeInteger(n))) return undefined;
  return { ...(text === '' ? {} : { n }), ...(last === '' ? {} : { last }) };
}
