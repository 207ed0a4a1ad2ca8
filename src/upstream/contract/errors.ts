/** Everything that can go wrong between weir and an upstream, as a closed set that policy can decide on. */

/**
 * `notFound` 404, an answer · `denied` 401 or 403 for the repository after weir's own token attempt, an answer ·
 * `credentialRefused` the configured credential itself is refused: an outage of ours · `rateLimited` 429 ·
 * `unreachable` refused, reset, DNS · `tls` handshake or certificate · `timeout` connect, head, idle or rate floor ·
 * `serverError` 5xx · `badResponse` anything that is not the thing asked for · `tooLarge` beyond a limit ·
 * `rangeRefused` an odd answer that speaks about Range only · `redirectRefused` loop, too many hops, or a place that
 * configuration does not allow · `unsupported` the upstream has no such API · `breakerOpen` not asked: the origin
 * is down, or the question had to wait too long ·
 * `offline` configured never to dial · `exhausted` weir itself lacks what asking takes (descriptors, transfers), which says
 * nothing about the upstream · `cut` the body ended or broke early · `preempted` by
 * somebody whom a client waits for; worth another try · `aborted` by the caller's signal.
 */
export type UpstreamErrorKind =
  | 'notFound'
  | 'denied'
  | 'credentialRefused'
  | 'rateLimited'
  | 'unreachable'
  | 'tls'
  | 'timeout'
  | 'serverError'
  | 'badResponse'
  | 'tooLarge'
  | 'rangeRefused'
  | 'redirectRefused'
  | 'unsupported'
  | 'breakerOpen'
  | 'offline'
  | 'exhausted'
  | 'cut'
  | 'preempted'
  | 'aborted';

export interface UpstreamErrorDetails {
  readonly upstream: string;
  /** HTTP status of the upstream's answer, where there was one. */
  readonly status?: number;
  /** How long the upstream asked us to wait, or how long nobody is asked; milliseconds. */
  readonly retryAfterMs?: number;
  /** The OCI error code in the upstream's body, where it sent one (`NAME_UNKNOWN`, `MANIFEST_UNKNOWN`, …). */
  readonly code?: string;
  /** No connection came about, so nothing was asked. */
  readonly isDial?: boolean;
  /** The head of an answer contradicts itself, for our parser at least, about its body. */
  readonly isFraming?: boolean;
  /** A token server said it, and not the registry. */
  readonly isOfTokens?: boolean;
  readonly cause?: unknown;
}

/** What the machine says when it has no more of something that every exchange needs. */
const shortages: ReadonlySet<unknown> = new Set(['EMFILE', 'ENFILE', 'ENOMEM', 'ENOBUFS']);

/** Whatever it was made for, it is `exhausted` when its cause lies in this machine: that is no word of the upstream's. */
export class UpstreamError extends Error {
  readonly kind: UpstreamErrorKind;
  readonly upstream: string;
  readonly status: number | undefined;
  readonly retryAfterMs: number | undefined;
  readonly code: string | undefined;
  readonly isDial: boolean;
  readonly isFraming: boolean;
  readonly isOfTokens: boolean;

  constructor(kind: UpstreamErrorKind, message: string, details: UpstreamErrorDetails) {
    super(message, { cause: details.cause });
    this.name = 'UpstreamError';
    this.kind = isLocal(details.cause) ? 'exhausted' : kind;
    this.upstream = details.upstream;
    this.status = details.status;
    this.retryAfterMs = details.retryAfterMs;
    this.code = details.code;
    this.isDial = details.isDial ?? false;
    this.isFraming = details.isFraming ?? false;
    this.isOfTokens = details.isOfTokens ?? false;
  }
}

/** A file of ours cannot be read (errors of the file system name it), or the machine lacks something. */
function isLocal(cause: unknown, depth = 0): boolean {
  if (!(cause instanceof Error) || depth > 5) return false;
  // Of several addresses that were tried, each.
  if (cause instanceof AggregateError && cause.errors.length > 0) {
    return cause.errors.every((error) => isLocal(error, depth + 1));
  }
  const { code, path, syscall } = cause as { code?: unknown; path?: unknown; syscall?: unknown };
  const isOfFile = typeof path === 'string' && typeof syscall === 'string' && !syscall.startsWith('spawn');
  return shortages.has(code) || (isOfFile && typeof code === 'string') || isLocal(cause.cause, depth + 1);
}

/** True for failures during which the last known answer may be served: everything that is not the upstream's word. */
export function isOutage(error: unknown): error is UpstreamError {
  if (!(error instanceof UpstreamError)) return false;
  switch (error.kind) {
    case 'credentialRefused':
    case 'rateLimited':
    case 'unreachable':
    case 'tls':
    case 'timeout':
    case 'serverError':
    case 'badResponse':
    case 'tooLarge':
    case 'redirectRefused':
    case 'breakerOpen':
    case 'offline':
    case 'exhausted':
    case 'cut':
      return true;
    case 'notFound':
    case 'denied':
    case 'rangeRefused':
    case 'unsupported':
    case 'preempted':
    case 'aborted':
      return false;
  }
}

/** 404: the upstream's word that there is nothing. */
export function isNotFound(error: unknown): error is UpstreamError {
  return error instanceof UpstreamError && error.kind === 'notFound';
}

/** 401 or 403 for the repository: the upstream's word that it is not for us. */
export function isDenied(error: unknown): error is UpstreamError {
  return error instanceof UpstreamError && error.kind === 'denied';
}

/**
 * The registry's own denial, which counts until it says otherwise. That of a token server is an answer while it is fresh:
 * it says the same when its directory is away, so it takes nothing from what was proved before.
 */
export function isDeniedForGood(error: unknown): error is UpstreamError {
  return isDenied(error) && !error.isOfTokens;
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

/** What a registry may say of a thing to whoever may not see it. 405, 416 and 429 say nothing about the thing. */
export function isRefusal(status: number): boolean {
  return status >= 400 && status <= 499 && ![405, 416, 429].includes(status);
}
