/** Telling errors apart by what they mean for policy. */
import { isOutage, type UpstreamError, type UpstreamErrorKind } from '../upstream/errors.ts';
import { CacheError } from './errors.ts';

const silences: ReadonlySet<UpstreamErrorKind> = new Set(['unreachable', 'tls', 'timeout', 'breakerOpen']);

/** Nothing that the upstream meant to say: an outage, or bytes that are not what they should be. */
export function isNoAnswer(error: unknown): error is UpstreamError | CacheError {
  return isOutage(error) || (error instanceof CacheError && error.kind === 'mismatch');
}

/** Nothing came, and nobody was there to send anything. */
export function isSilence(error: unknown): boolean {
  return isOutage(error) && silences.has(error.kind);
}

export function shuttingDown(cause: UpstreamError): CacheError {
  return new CacheError('shuttingDown', cause.upstream, 'weir is shutting down', { cause });
}
