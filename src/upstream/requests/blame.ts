/** What an error says, and of what: of its question, of the limits of who asks, of an origin, or of nothing. */
import type { Attempt } from './endpoint.ts';
import { isOutage, UpstreamError } from '../contract/errors.ts';
import type { Question } from '../contract/question.ts';
import type { Result, Standing } from '../limits/standing.ts';

/** Tells the standing of an endpoint what became of a question there. */
export function settle(
  standing: Standing,
  question: Question,
  error: UpstreamError,
  { hasLeftRegistry, stage }: Attempt,
  sentAtMs: number,
): void {
  const result = resultOf(error);
  // The token server has a memory of its own; that nothing is answered is true all the same.
  if (stage === 'tokens' && result.kind !== 'answered') {
    if (result.kind === 'failed') standing.failedElsewhere({ ...question, kind: 'tokens' });
  } else if (hasLeftRegistry && result.kind === 'limited') standing.settle(question, { kind: 'nothing' }, sentAtMs);
  else standing.settle(question, result, sentAtMs);
}

/** Which of the words of blame an error is. */
function resultOf(error: UpstreamError): Result {
  const { kind, status = 0, isDial } = error;
  switch (kind) {
    // No connection: that is remembered of the origin.
    case 'tls':
      return { kind: 'nothing' };
    case 'unreachable':
    case 'timeout':
      return isDial ? { kind: 'nothing' } : { kind: 'failed', error };
    case 'serverError':
      return { kind: 'failed', error };
    case 'badResponse':
      // With 4xx, it does not like what one client may have asked.
      return status >= 400 && status <= 499 ? { kind: 'answered' } : { kind: 'failed', error };
    case 'rateLimited':
      return { kind: 'limited', error };
    case 'notFound':
    case 'denied':
    case 'tooLarge':
    case 'rangeRefused':
    case 'redirectRefused':
    case 'unsupported':
    case 'cut':
      return { kind: 'answered' };
    case 'credentialRefused':
    case 'breakerOpen':
    case 'offline':
    case 'preempted':
    case 'exhausted':
    case 'aborted':
      return { kind: 'nothing' };
  }
}

export function isUnsupported(error: unknown): boolean {
  return error instanceof UpstreamError && error.kind === 'unsupported';
}

/** Of several endpoints' failures the one to tell. Whoever said nothing may have the API, and a reason says more than that nobody was asked. */
export function worstOf(errors: readonly unknown[]): unknown {
  const outages = errors.filter(isOutage);
  if (outages.length === 0) return errors.at(-1);
  return outages.findLast(({ kind }) => kind !== 'breakerOpen') ?? outages.at(-1);
}
