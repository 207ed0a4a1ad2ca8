/** Telling errors apart by what they mean for policy. */
import { isOutage, UpstreamError } from '../upstream/errors.ts';
import { CacheError } from './errors.ts';

/** 404: the upstream's word that there is nothing. */
export function isNotFound(error: unknown): error is UpstreamError {
  return error instanceof UpstreamError && error.kind === 'notFound';
}

/** 401 or 403 for the repository: the upstream's word that it is not for us. */
export function isDenied(error: unknown): error is UpstreamError {
  return error instanceof UpstreamError && error.kind === 'denied';
}

/** Nothing that the upstream meant to say: an outage, or bytes that are not what they should be. */
export function isNoAnswer(error: unknown): error is UpstreamError | CacheError {
  return isOutage(error) || (error instanceof CacheError && error.kind === 'mismatch');
}

/** Configured never to dial. */
export function isOffline(error: unknown): boolean {
  return error instanceof UpstreamError && error.kind === 'offline';
}

/** The upstream has no such API. */
export function isUnsupported(error: unknown): error is UpstreamError {
  return error instanceof UpstreamError && error.kind === 'unsupported';
}

/** Work that was ended from inside, which happens only when weir stops. */
export function isAborted(error: unknown): error is UpstreamError {
  return error instanceof UpstreamError && error.kind === 'aborted';
}

export function shuttingDown(cause: UpstreamError): CacheError {
  return new CacheError('shuttingDown', cause.upstream, 'weir is shutting down', { cause });
}
