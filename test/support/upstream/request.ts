/** What a scripted registry was asked, and how it went. */
import type { ByteReader } from '../byte-reader.ts';
import { headerMap } from '../byte-reader.ts';

export type RequestKind =
  | 'ping'
  | 'manifest'
  | 'blob'
  | 'tags'
  | 'referrers'
  | 'catalog'
  | 'upload'
  /** `/token`: a token is asked for. */
  | 'token'
  /** `/cdn/<digest>`: where redirects lead. */
  | 'cdn'
  | 'other';

export interface RecordedRequest {
  /** 1, 2, … in order of arrival, over all connections. */
  readonly id: number;
  /** 1, 2, … in order of acceptance. */
  readonly connection: number;
  readonly method: string;
  /** As it stood in the request line. */
  readonly target: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly version: string;
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string>>;
  readonly rawHeaders: readonly (readonly [string, string])[];
  readonly body: Buffer;
  readonly kind: RequestKind;
  readonly repository: string;
  /** Tag or digest of a manifest; digest of a blob, of a subject or of a redirect target. */
  readonly reference: string;
  /** performance.now() when the head had been read. */
  readonly atMs: number;

  /** What follows changes while the answer goes out. */
  status: number | undefined;
  /** Bytes of the blob that the answer declares, end exclusive. */
  span: { readonly start: number; readonly end: number } | undefined;
  /** Body bytes handed to the socket, without framing. */
  bodyBytes: number;
  /** The whole answer has been handed to the socket. */
  isComplete: boolean;
  /** The client closed before the answer was complete. */
  isAbandoned: boolean;
  /** performance.now() when the answer ended, in whatever way. */
  endedAtMs: number | undefined;
}

const routes: readonly (readonly [RequestKind, RegExp])[] = [
  ['ping', /^\/v2\/?$/],
  ['catalog', /^\/v2\/_catalog$/],
  ['tags', /^\/v2\/(?<repository>.+)\/tags\/list$/],
  ['upload', /^\/v2\/(?<repository>.+)\/blobs\/uploads\/(?<reference>[^/]*)$/],
  ['manifest', /^\/v2\/(?<repository>.+)\/manifests\/(?<reference>[^/]+)$/],
  ['blob', /^\/v2\/(?<repository>.+)\/blobs\/(?<reference>[^/]+)$/],
  ['referrers', /^\/v2\/(?<repository>.+)\/referrers\/(?<reference>[^/]+)$/],
  ['token', /^\/token$/],
  ['cdn', /^\/cdn\/(?<reference>[^/]+)$/],
];

/** Reads one request with its body, or undefined when the connection ends first. */
export async function readRequest(
  reader: ByteReader,
  connection: number,
  nextId: () => number,
): Promise<RecordedRequest | undefined> {
  const line = await reader.line();
  const rawHeaders = line === undefined ? undefined : await reader.headerLines();
  if (line === undefined || rawHeaders === undefined) return undefined;
  const [method = '', target = '', version = ''] = line.split(' ');
  const headers = headerMap(rawHeaders);
  const body = await reader.exactly(Number(headers['content-length'] ?? 0));
  if (body === undefined) return undefined;
  const [path = ''] = target.split('?');
  return {
    id: nextId(),
    connection,
    method,
    target,
    path,
    query: new URLSearchParams(target.slice(path.length)),
    version,
    headers,
    rawHeaders,
    body,
    ...classify(path),
    atMs: performance.now(),
    status: undefined,
    span: undefined,
    bodyBytes: 0,
    isComplete: false,
    isAbandoned: false,
    endedAtMs: undefined,
  };
}

function classify(path: string): Pick<RecordedRequest, 'kind' | 'repository' | 'reference'> {
  for (const [kind, pattern] of routes) {
    const match = pattern.exec(path);
    if (match === null) continue;
    const { repository = '', reference = '' } = match.groups ?? {};
    return { kind, repository, reference: reference.replace(/%3a/i, ':') };
  }
  return { kind: 'other', repository: '', reference: '' };
}

/** Which requests a rule or a count is about: every field that is given must agree. */
export interface Match {
  readonly kind?: RequestKind | readonly RequestKind[];
  readonly method?: string;
  readonly repository?: string;
  readonly reference?: string;
  /** With or without a Range header. */
  readonly ranged?: boolean;
  readonly connection?: number;
  readonly where?: (request: RecordedRequest) => boolean;
}

export function matches(match: Match, request: RecordedRequest): boolean {
  const { kind, method, repository, reference, ranged, connection, where } = match;
  return (
    (kind === undefined || [kind].flat().includes(request.kind)) &&
    (method === undefined || method === request.method) &&
    (repository === undefined || repository === request.repository) &&
    (reference === undefined || reference === request.reference) &&
    (ranged === undefined || ranged === 'range' in request.headers) &&
    (connection === undefined || connection === request.connection) &&
    (where === undefined || where(request))
  );
}
