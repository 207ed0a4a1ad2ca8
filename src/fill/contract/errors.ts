/** The cache's own refusals. Whatever an upstream did wrong arrives as UpstreamError instead. */

/**
 * `blobUnknown`, `manifestUnknown`, `nameUnknown`: not there · `denied`: the repository is not readable for this client ·
 * `mismatch`: what the upstream sent is not what was asked for; nothing was stored · `noLength`: a range of a blob
 * whose size could not be learnt in time · `shuttingDown`: weir stops.
 */
export type CacheErrorKind =
  | 'blobUnknown'
  | 'manifestUnknown'
  | 'nameUnknown'
  | 'denied'
  | 'mismatch'
  | 'noLength'
  | 'shuttingDown';

export class CacheError extends Error {
  readonly kind: CacheErrorKind;
  readonly upstream: string;

  constructor(kind: CacheErrorKind, upstream: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'CacheError';
    this.kind = kind;
    this.upstream = upstream;
  }
}

/** A body that cannot be finished: the sender must break the connection, never end it cleanly. */
export class BrokenBodyError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'BrokenBodyError';
  }
}
