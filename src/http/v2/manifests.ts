/** GET and HEAD of manifests. Range is not for them: some clients send it all the same and want the whole. */
import type { ManifestAnswer, ManifestQuery } from '../../cache/contract/cache.ts';
import { CacheError } from '../../fill/contract/errors.ts';
import { foreverFresh } from './blobs.ts';
import { etagOf, matchesEtag } from '../../headers/etag.ts';
import type { FrontDeps } from './context.ts';
import type { Exchange } from '../request/exchange.ts';
import { sendView } from './large-answer.ts';
import { type HeaderList, sendBytes, sendHead } from '../request/respond.ts';

export async function serveManifest(
  deps: FrontDeps,
  exchange: Exchange,
  query: Omit<ManifestQuery, 'method'>,
): Promise<void> {
  const condition = exchange.req.headers['if-none-match'];
  const ask = (method: 'get' | 'head'): Promise<ManifestAnswer> =>
    deps.cache.manifest({ ...query, method }, exchange.signal);
  // With a condition the digest may be all that is needed, and that is cheaper to find out.
  let answer = await ask(exchange.isHead || condition !== undefined ? 'head' : 'get');
  exchange.outcome = answer.outcome;
  if (matchesEtag(condition, answer.digest)) {
    sendHead(exchange, 304, identity(answer, query.reference));
    return;
  }
  if (exchange.isHead) {
    sendHead(exchange, 200, [...manifestHeaders(answer, query.reference), 'Content-Length', String(answer.sizeBytes)]);
    return;
  }
  if (answer.bytes === undefined && answer.body === undefined) {
    answer = await ask('get');
    exchange.outcome = answer.outcome;
  }
  if (answer.body !== undefined) {
    await sendView(deps, exchange, manifestHeaders(answer, query.reference), answer.body);
    return;
  }
  if (answer.bytes === undefined) throw new CacheError('manifestUnknown', query.upstream, 'the manifest has no bytes');
  sendBytes(exchange, 200, manifestHeaders(answer, query.reference), answer.bytes);
}

/** All but the length. */
export function manifestHeaders(
  answer: Pick<ManifestAnswer, 'digest' | 'mediaType'>,
  reference: ManifestQuery['reference'],
): HeaderList {
  return ['Content-Type', answer.mediaType, ...identity(answer, reference)];
}

function identity({ digest }: Pick<ManifestAnswer, 'digest'>, reference: ManifestQuery['reference']): HeaderList {
  const headers = ['Docker-Content-Digest', digest, 'ETag', etagOf(digest)];
  if (reference.kind === 'digest') headers.push('Cache-Control', foreverFresh);
  return headers;
}
