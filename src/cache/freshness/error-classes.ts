/** Telling errors apart by what they mean for policy. */
import { isOutage, type UpstreamError } from '../../upstream/contract/errors.ts';
import { CacheError } from '../../fill/contract/errors.ts';

/** Nothing that the upstream meant to say: an outage, or bytes that are not what they should be. */
export function isNoAnswer(error: unknown): error is UpstreamError | CacheError {
  return isOutage(error) || (error instanceof CacheError && error.kind === 'mismatch');
}

/** Nothing came, nobody is there, or nobody was asked because of that. */
export function isSilence(error: unknown): boolean {
  return isOutage(error) && (error.kind === 'breakerOpen' || error.kind === 'timeout' || error.isDial);
}

export function shuttingDown(cause: UpstreamError): CacheError {
  return new CacheError('shuttingDown', cause.upstream, 'weir is shutting down', { cause });
}
