/** Manifests at one endpoint: HEAD and GET, with what their headers may say. */
import { parseDigest } from '../../oci/digest.ts';
import { isManifestType, cleanMediaType, manifestAccept, mediaTypes, stripParameters } from '../../oci/media-type.ts';
import { type Reference, referenceText, type Repository } from '../../oci/reference.ts';
import { refusedAnswer } from './refusal.ts';
import { type Answer, type Ask, askEndpoint, type Attempt, type Endpoint } from './endpoint.ts';
import { UpstreamError } from '../contract/errors.ts';
import { isEncoded, plainText } from './content-encoding.ts';
import { failure } from '../contract/failure.ts';
import { firstOf, parseContentLength } from '../../headers/content-length.ts';
import { HeadTrust, isHeadRefusal } from './head-trust.ts';
import { withoutSecrets } from '../network/origin.ts';
import { readWhole } from '../exchange/small-body.ts';
import type { ManifestBody, ManifestHead } from '../contract/upstream.ts';

/** What the specification asks registries to accept, and what containerd and others accept at most. */
const maxManifestBytes = 4 * 1024 * 1024;

export interface ManifestQuestion {
  readonly repository: Repository;
  readonly reference: Reference;
}

const heads = new WeakMap<Endpoint, HeadTrust>();

function trustIn(endpoint: Endpoint): HeadTrust {
  const known = heads.get(endpoint) ?? new HeadTrust();
  heads.set(endpoint, known);
  return known;
}

/** By HEAD, and by GET where HEAD is of no use or its refusal cannot be believed. */
export async function headManifestAt(
  endpoint: Endpoint,
  question: ManifestQuestion,
  attempt: Attempt,
  nowMs: number,
): Promise<ManifestHead> {
  const trust = trustIn(endpoint);
  const byGet = async (): Promise<ManifestHead> => {
    const { bytes: _, ...head } = await getManifestAt(endpoint, question, attempt, nowMs);
    return head;
  };
  if (trust.isUseless(attempt.clock.monotonic())) return byGet();
  try {
    const answer = await askEndpoint(endpoint, askFor('HEAD', question), attempt);
    if (answer.response.status !== 200) throw await refusedAnswer(answer, attempt.upstream, nowMs);
    const head = headOf(answer, attempt.upstream);
    trust.proved(pathOf(question), attempt.clock.monotonic());
    return head;
  } catch (error) {
    if (!(error instanceof UpstreamError) || !isHeadRefusal(error)) throw error;
    if (trust.believes(pathOf(question), error, attempt.clock.monotonic())) throw error;
    return byGet();
  }
}

export async function getManifestAt(
  endpoint: Endpoint,
  question: ManifestQuestion,
  attempt: Attempt,
  nowMs: number,
): Promise<ManifestBody> {
  const answer = await askEndpoint(endpoint, askFor('GET', question), attempt);
  const { upstream } = attempt;
  if (answer.response.status !== 200) throw await refusedAnswer(answer, upstream, nowMs);
  const head = headOf(answer, upstream);
  const place = withoutSecrets(answer.url);
  const sent = await readWhole(answer.response, maxManifestBytes, () =>
    failure('tooLarge', upstream, `${place}: a manifest of more than ${maxManifestBytes} bytes`),
  );
  const bytes = await plainText(sent, answer.response.headers, maxManifestBytes, (cause) =>
    failure('badResponse', upstream, `${place}: a Content-Encoding that cannot be undone`, cause),
  );
  if (bytes.byteLength === 0) throw failure('badResponse', upstream, `${place}: an empty manifest`);
  trustIn(endpoint).got(pathOf(question), attempt.clock.monotonic());
  return { ...head, bytes, sizeBytes: bytes.byteLength };
}

function pathOf({ repository, reference }: ManifestQuestion): string {
  return `/v2/${repository}/manifests/${referenceText(reference)}`;
}

function askFor(method: 'GET' | 'HEAD', question: ManifestQuestion): Ask {
  return { method, path: pathOf(question), repository: question.repository, accept: manifestAccept };
}

/** Throws `badResponse`, and gives the body up, when the head says that this is no manifest. */
function headOf({ response, url, from, shown }: Answer, upstream: string): ManifestHead {
  const { headers } = response;
  const refuse = (reason: string): UpstreamError => {
    response.abort();
    return failure('badResponse', upstream, `${withoutSecrets(url)}: ${reason}`);
  };
  const sent = stripParameters(firstOf(headers['content-type']) ?? '');
  if (isHtml(sent)) throw refuse('HTML instead of a manifest');
  // Types may be written in any case (RFC 9110 §8.3.1), and clients compare with the registered form.
  const mediaType = isManifestType(sent.toLowerCase()) ? sent.toLowerCase() : sent;
  // Bare hex, an ETag, nothing: what is no digest says nothing.
  const digest = parseDigest(firstOf(headers['docker-content-digest']) ?? '');
  // No manifest is empty: servers that say 0 to HEAD do not know. Of what is encoded they say another size.
  // Signed schema 1 is signed anew for each answer.
  const isVague = isEncoded(headers) || mediaType === mediaTypes.dockerSigned;
  const sizeBytes = isVague ? undefined : parseContentLength(headers['content-length']) || undefined;
  return {
    digest,
    mediaType: cleanMediaType(mediaType) || undefined,
    sizeBytes,
    ...(shown !== undefined && { shown }),
    ...(from === 'elsewhere' && { isElsewhere: true as const }),
  };
}

export function isHtml(mediaType: string): boolean {
  const type = mediaType.toLowerCase();
  return type === 'text/html' || type === 'application/xhtml+xml';
}
