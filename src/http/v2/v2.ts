/** `/v2/`: parse, route, ask the cache, answer. Whatever a client claims to be is ignored: weir asks nobody to log in. */
import type { RepositoryQuery } from '../../cache/contract/cache.ts';
import type { Digest } from '../../oci/digest.ts';
import { OciError } from '../../oci/errors.ts';
import { referenceText } from '../../oci/reference.ts';
import { parseV2Request, type V2Request } from '../../oci/v2-request.ts';
import { serveBlob } from './blobs.ts';
import type { FrontDeps } from './context.ts';
import { type Exchange, forwardedFor } from '../request/exchange.ts';
import { serveCatalog, serveReferrers, serveTags } from './lists.ts';
import { serveManifest } from './manifests.ts';
import { sendJson } from '../request/respond.ts';

/** Methods that weir understands; `Allow` of every 405. */
const allow = 'GET, HEAD';

/** Answers one request below `/v2`. Rejects with what `toErrorAnswer` understands. */
export async function serveV2(deps: FrontDeps, exchange: Exchange): Promise<void> {
  const { req } = exchange;
  const request = parseV2Request(req.method ?? '', req.url ?? '', req.headers.host);
  if (request.kind === 'invalid') throw request.error;
  exchange.kind = kindOf(request);
  if (request.kind === 'ping') {
    sendJson(exchange, 200, {});
    return;
  }
  if (request.kind === 'push' || request.kind === 'upload') throw refusal(request);
  exchange.startHeadDeadline(deps.headDeadlineMs);
  if (request.kind === 'catalog') {
    await catalog(deps, exchange, request);
    return;
  }
  await read(deps, exchange, request, routed(deps, exchange, request));
}

type Read = Extract<V2Request, { kind: 'manifest' | 'blob' | 'tags' | 'referrers' }>;
type Metadata = Extract<V2Request, { kind: 'catalog' }>;

async function read(deps: FrontDeps, exchange: Exchange, request: Read, repository: RepositoryQuery): Promise<void> {
  const client = deps.clients.of(exchange.req.socket.remoteAddress, forwardedFor(exchange.req));
  const base = `/v2/${request.name}`;
  const ns = request.ns[0];
  switch (request.kind) {
    case 'manifest': {
      exchange.reference = referenceText(request.reference);
      await serveManifest(deps, exchange, { ...repository, client, reference: request.reference });
      return;
    }
    case 'blob': {
      const { digest } = request;
      exchange.reference = digest;
      await serveBlob(deps, exchange, { ...repository, client, digest }, blobPath(request.name, digest, ns));
      return;
    }
    case 'tags': {
      const address = { path: `${base}/tags/list`, name: request.name, ns };
      await serveTags(deps, exchange, { ...repository, client, n: request.n, last: request.last }, address);
      return;
    }
    case 'referrers': {
      const { digest, artifactType, n, last } = request;
      exchange.reference = digest;
      const address = { path: `${base}/referrers/${digest}`, name: request.name, ns };
      await serveReferrers(deps, exchange, { ...repository, client, digest, artifactType, n, last }, address);
      return;
    }
  }
}

/** Where the client finds this blob again. */
export function blobPath(name: string, digest: Digest, ns: string | undefined): string {
  const query = ns === undefined ? '' : `?ns=${encodeURIComponent(ns)}`;
  return `/v2/${name}/blobs/${digest}${query}`;
}

function routed(deps: FrontDeps, exchange: Exchange, request: Read): RepositoryQuery {
  const { name, ns } = request;
  const found = deps.router.route({ ns, host: exchange.req.headers.host, name });
  if (found.kind === 'unknown') throw new OciError('NAME_UNKNOWN', { message: found.reason, detail: { name } });
  exchange.upstream = found.upstream;
  exchange.repository = found.repository;
  exchange.namespace = found.echoNamespace;
  exchange.hint = found.hint;
  return { upstream: found.upstream, repository: found.repository };
}

/** What is cached, of one upstream where the client names one. */
async function catalog(deps: FrontDeps, exchange: Exchange, request: Metadata): Promise<void> {
  const [ns] = request.ns;
  let upstream: string | undefined;
  // Where it names weir itself, it names no namespace.
  if (ns !== undefined && !(request.ns.length === 1 && deps.router.isOwnName(ns, exchange.req.headers.host))) {
    // Any name will do: with `ns`, it plays no part in finding the upstream.
    const found = deps.router.route({ ns: request.ns, host: undefined, name: 'catalog' });
    if (found.kind === 'unknown') throw new OciError('NAME_UNKNOWN', { message: found.reason });
    upstream = found.upstream;
    exchange.upstream = upstream;
    exchange.namespace = found.echoNamespace;
  }
  await serveCatalog(deps, exchange, { upstream, n: request.n, last: request.last }, { path: '/v2/_catalog', ns });
}

/** weir only reads. A push fails at its first request, with the code that tells clients not to try again. */
function refusal(request: V2Request): OciError {
  if (request.kind === 'upload' && (request.method === 'GET' || request.method === 'HEAD')) {
    return new OciError('BLOB_UPLOAD_UNKNOWN', { message: 'this registry is a cache and takes no uploads' });
  }
  return new OciError('UNSUPPORTED', {
    message: `${request.method} is not supported: this registry is a cache and only serves what its upstreams have`,
    headers: { Allow: allow },
  });
}

function kindOf(request: V2Request): Exchange['kind'] {
  if (request.kind === 'upload') return 'blob';
  return request.kind === 'push' ? request.route : request.kind;
}
