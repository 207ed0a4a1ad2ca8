/**
 * What a client is told of an upstream that failed: its key and what happened, out of a closed set. Where it happened
 * (mirrors, storage, addresses of the inner network) is for the log.
 */
import { UpstreamError, type UpstreamErrorKind } from '../../upstream/contract/errors.ts';

const sentences: Readonly<Record<UpstreamErrorKind, string>> = {
  notFound: 'there is no such thing',
  denied: 'access is denied',
  credentialRefused: 'the credential that is configured for it is refused',
  rateLimited: 'too many requests',
  unreachable: 'it cannot be reached',
  tls: 'no secure connection can be made to it',
  timeout: 'no answer in time',
  serverError: 'it failed',
  badResponse: 'the answer is not what was asked for',
  tooLarge: 'the answer is too large',
  rangeRefused: 'the range is refused',
  redirectRefused: 'it redirects to a place that is not allowed',
  unsupported: 'it has no such API',
  breakerOpen: 'it failed lately and is not asked',
  offline: 'it is not asked: offline',
  exhausted: 'this machine lacks what asking takes',
  cut: 'the transfer broke off',
  preempted: 'the transfer gave way to another one',
  aborted: 'the transfer was given up',
};

/** A word of the system for what happened, such as ECONNREFUSED or CERT_HAS_EXPIRED. */
const reasonPattern = /^[A-Z][A-Z0-9_]{2,48}$/;
const maxCauses = 5;

export function upstreamSentence(error: UpstreamError): string {
  const notes = [error.status, reasonOf(error)].filter((note) => note !== undefined);
  const sentence = `upstream ${error.upstream}: ${sentences[error.kind]}`;
  return notes.length === 0 ? sentence : `${sentence} (${notes.join(', ')})`;
}

/** The innermost one says most. */
function reasonOf(error: Error): string | undefined {
  let reason: string | undefined;
  let at: unknown = error.cause;
  for (let depth = 0; at instanceof Error && depth < maxCauses; depth++) {
    // The code of one of ours is the upstream's own word.
    const code = !(at instanceof UpstreamError) && 'code' in at ? at.code : undefined;
    if (typeof code === 'string' && reasonPattern.test(code)) reason = code;
    at = at.cause ?? (at instanceof AggregateError ? at.errors[0] : undefined);
  }
  return reason;
}
