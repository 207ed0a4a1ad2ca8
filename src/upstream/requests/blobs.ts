/** Blobs at one endpoint: opening a body, and finding out whether and how large without reading it. */
import { type Digest, digestAlgorithm, digestOf, parseDigest } from '../../oci/digest.ts';
import { stripParameters } from '../../oci/media-type.ts';
import { parseContentRange } from '../../headers/range.ts';
import type { Repository } from '../../oci/reference.ts';
import { refusedAnswer, statusFailure } from './refusal.ts';
import { type Answer, type Ask, askEndpoint, type Attempt, type Endpoint } from './endpoint.ts';
import { UpstreamError } from '../contract/errors.ts';
import { failure } from '../contract/failure.ts';
import { firstOf, parseContentLength } from '../../headers/content-length.ts';
import type { ExchangeWorker } from '../contract/worker-protocol.ts';
import { EncodedBlobs, isEncoded } from './content-encoding.ts';
import { isHtml } from './manifests.ts';
import { withoutSecrets } from '../network/origin.ts';
import type { PatienceFlag } from '../contract/patience.ts';
import { rangeHeader, readRangeAnswer } from './content-range.ts';
import type { IncomingResponse } from '../exchange/sender.ts';
import type { AskedRange, BlobBody, BlobStat } from '../contract/upstream.ts';

export interface BlobQuestion {
  readonly repository: Repository;
  readonly digest: Digest;
  readonly worker?: ExchangeWorker | undefined;
  readonly patience?: PatienceFlag | undefined;
}

const encodedBlobs = new WeakMap<Endpoint, EncodedBlobs>();

function encodedAt(endpoint: Endpoint): EncodedBlobs {
  const known = encodedBlobs.get(endpoint) ?? new EncodedBlobs();
  encodedBlobs.set(endpoint, known);
  return known;
}

export interface OpenedBlob {
  /** As `Answer.shown`. */
  readonly shown: string | undefined;
  readonly answer: BlobBody['answer'];
  readonly response: IncomingResponse;
}

export async function openBlobAt(
  endpoint: Endpoint,
  question: BlobQuestion,
  asked: AskedRange | undefined,
  attempt: Attempt,
  nowMs: number,
): Promise<OpenedBlob> {
  const answer = await askEndpoint(endpoint, askFor('GET', question, asked), attempt).catch((error: unknown) => {
    throw asked === undefined ? error : withoutRangeFirst(error);
  });
  const { response, url, shown } = answer;
  const { status, headers } = response;
  const { upstream } = attempt;
  const place = withoutSecrets(url);
  if (asked === undefined) {
    if (status !== 200) throw await refusedAnswer(answer, upstream, nowMs);
    const followed = isEncoded(headers)
      ? encodedAt(endpoint).follow(response, question.digest, upstream, place)
      : response;
    return {
      answer: { kind: 'whole', sizeBytes: parseContentLength(followed.headers['content-length']) },
      response: followed,
      shown,
    };
  }
  if (encodedAt(endpoint).isToDecode(question.digest, headers)) {
    response.abort();
    throw new UpstreamError('rangeRefused', `${place} encodes what it sends`, { upstream, status });
  }
  const read = readRangeAnswer(asked, status, headers);
  if (read.kind !== 'odd') return { answer: read, response, shown };
  if (isOutageStatus(status)) throw await refusedAnswer(answer, upstream, nowMs);
  response.abort();
  const message = `${place} does not give this range: ${read.reason}`;
  throw new UpstreamError('rangeRefused', message, { upstream, status });
}

/** A refusal of a range may be about ranges, as those of firewalls are; only one of the plain question is about the blob. */
function withoutRangeFirst(error: unknown): unknown {
  if (!(error instanceof UpstreamError) || error.kind !== 'denied') return error;
  const { upstream, status, code } = error;
  const details = {
    upstream,
    ...(status !== undefined && { status }),
    ...(code !== undefined && { code }),
    cause: error,
  };
  return new UpstreamError('rangeRefused', error.message, details);
}

/** The size that this repository's blob has, undefined when nobody says. Rejects when it is not there. */
export async function statBlobAt(
  endpoint: Endpoint,
  question: BlobQuestion,
  attempt: Attempt,
  nowMs: number,
): Promise<BlobStat> {
  if (endpoint.refusesBlobHead) return statByRange(endpoint, question, attempt, nowMs);
  try {
    const answer = await askEndpoint(endpoint, askFor('HEAD', question), attempt);
    const { status, headers } = answer.response;
    if (status !== 200) throw await refusedAnswer(answer, attempt.upstream, nowMs);
    refusePage(answer, question.digest, attempt.upstream);
    // Of the blob, or of what it was encoded into.
    if (isEncoded(headers)) return statOf(answer, undefined);
    // Servers that say 0 to HEAD do not know, unless it is the blob that is empty.
    const isEmpty = question.digest === digestOf('', digestAlgorithm(question.digest));
    return statOf(answer, parseContentLength(headers['content-length']) || (isEmpty ? 0 : undefined));
  } catch (error) {
    if (!(error instanceof UpstreamError) || !isHeadRefusal(error)) throw error;
    const stat = await statByRange(endpoint, question, attempt, nowMs);
    // The blob is there, so it was the method: asking so again would cost a token each time.
    endpoint.refusesBlobHead = [401, 403, 405].includes(error.status ?? 0);
    return stat;
  }
}

function statOf({ shown }: Answer, sizeBytes: number | undefined): BlobStat {
  return { sizeBytes, ...(shown !== undefined && { shown }) };
}

/**
 * No byte is hashed here, and rights hang on the answer: the login page that a stranger is led to, or a portal's, must not
 * pass for the blob. Unless the digest is named, which no such page does.
 */
function refusePage({ response: { headers }, url }: Answer, digest: Digest, upstream: string): void {
  const told = parseDigest(firstOf(headers['docker-content-digest']) ?? '');
  if (told === digest) return;
  const isOther = told !== undefined && digestAlgorithm(told) === digestAlgorithm(digest);
  if (isOther) throw failure('badResponse', upstream, `${withoutSecrets(url)}: another blob than was asked for`);
  if (!isHtml(stripParameters(firstOf(headers['content-type']) ?? ''))) return;
  throw failure('badResponse', upstream, `${withoutSecrets(url)}: HTML instead of a blob`);
}

/** ECR Public answers 401 to HEAD of every blob, Harbor's proxy 404, signed URLs 403: they all answer GET. */
function isHeadRefusal({ kind, status }: UpstreamError): boolean {
  if (status === undefined || kind === 'rateLimited' || kind === 'credentialRefused') return false;
  return [401, 403, 404, 405].includes(status) || (status >= 500 && status <= 599);
}

async function statByRange(
  endpoint: Endpoint,
  question: BlobQuestion,
  attempt: Attempt,
  nowMs: number,
): Promise<BlobStat> {
  const first: AskedRange = { kind: 'closed', start: 0, end: 1 };
  const answer = await askEndpoint(endpoint, askFor('GET', question, first), attempt);
  const { status, headers } = answer.response;
  const said = firstOf(headers['content-range']);
  const range = said === undefined ? undefined : parseContentRange(said);
  if (status === 200) {
    answer.response.abort();
    refusePage(answer, question.digest, attempt.upstream);
    return statOf(answer, parseContentLength(headers['content-length']));
  }
  if (status === 206) {
    await answer.response.discard();
    refusePage(answer, question.digest, attempt.upstream);
    return statOf(answer, range?.size);
  }
  if (status !== 416) throw await refusedAnswer(answer, attempt.upstream, nowMs);
  answer.response.abort();
  // The first byte is asked for, so only an empty blob cannot satisfy it.
  if (range?.kind === 'unsatisfied' && range.size === 0) return statOf(answer, 0);
  throw statusFailure('badResponse', attempt.upstream, answer.url, { status });
}

/** Statuses that say something about the server, not about Range. */
function isOutageStatus(status: number): boolean {
  return status === 429 || status === 408 || (status >= 500 && status <= 599 && status !== 501);
}

function askFor(method: 'GET' | 'HEAD', question: BlobQuestion, asked?: AskedRange): Ask {
  const { repository, digest, worker, patience } = question;
  const range = asked === undefined ? {} : { range: rangeHeader(asked) };
  const path = `/v2/${repository}/blobs/${digest}`;
  return { method, path, repository, worker, patience, ...range };
}
