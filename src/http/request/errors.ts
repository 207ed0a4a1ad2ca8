/**
 * What a failure looks like to a client: one table from every error that weir knows to a status, an OCI code and a
 * sentence. Clients branch on status and code; people read the sentence, so it names the upstream and the cause.
 */
import { BrokenBodyError, CacheError, type CacheErrorKind } from '../../fill/contract/errors.ts';
import { RememberedRefusal } from '../../cache/freshness/negative-cache.ts';
import type { Outcome } from '../../headers/cache-status.ts';
import { OciError, type OciErrorCode } from '../../oci/errors.ts';
import { StoreError, type StoreErrorKind } from '../../store/contract/blob-store.ts';
import { UpstreamError, type UpstreamErrorKind } from '../../upstream/contract/errors.ts';
import { readable } from './text.ts';
import { upstreamSentence } from './upstream-sentence.ts';

/** What the request was about; decides which "unknown" a 404 means. */
export type Subject = 'manifest' | 'blob' | 'tags' | 'referrers' | 'catalog' | 'other';

export interface ErrorAnswer {
  readonly status: number;
  readonly code: OciErrorCode;
  readonly message: string;
  readonly detail?: unknown;
  readonly headers: Readonly<Record<string, string>>;
  /** A defect of ours, or of the machine: whoever answers it logs it. */
  readonly isUnexpected: boolean;
}

interface Row {
  readonly status: number;
  readonly code: OciErrorCode;
  /** Say when to come back. */
  readonly isTemporary?: boolean;
  readonly isUnexpected?: boolean;
}

/** Where nobody said how long: as long as a failure is remembered at first. */
const defaultRetryAfterMs = 5_000;

const badGateway: Row = { status: 502, code: 'UNKNOWN' };
const unavailable: Row = { status: 503, code: 'UNAVAILABLE' };
const retryLater: Row = { status: 503, code: 'UNAVAILABLE', isTemporary: true };

/** 401 never reaches a client: a challenge of the upstream's is not one of weir's. */
const upstreamRows: Readonly<Record<Exclude<UpstreamErrorKind, 'notFound'>, Row>> = {
  denied: { status: 403, code: 'DENIED' },
  credentialRefused: { status: 502, code: 'UNAVAILABLE' },
  // Clients that would give up on 503 wait on this, and what they repeat costs the upstream nothing.
  rateLimited: { status: 429, code: 'TOOMANYREQUESTS', isTemporary: true },
  unreachable: { status: 502, code: 'UNAVAILABLE' },
  tls: { status: 502, code: 'UNAVAILABLE' },
  timeout: { status: 504, code: 'UNAVAILABLE' },
  serverError: { status: 502, code: 'UNAVAILABLE' },
  badResponse: badGateway,
  tooLarge: badGateway,
  rangeRefused: badGateway,
  redirectRefused: badGateway,
  unsupported: { status: 404, code: 'UNSUPPORTED' },
  breakerOpen: retryLater,
  // No Retry-After: nothing will change by itself.
  offline: unavailable,
  exhausted: retryLater,
  cut: badGateway,
  preempted: retryLater,
  aborted: retryLater,
};

const cacheRows: Readonly<Record<CacheErrorKind, Row>> = {
  blobUnknown: { status: 404, code: 'BLOB_UNKNOWN' },
  manifestUnknown: { status: 404, code: 'MANIFEST_UNKNOWN' },
  nameUnknown: { status: 404, code: 'NAME_UNKNOWN' },
  denied: { status: 403, code: 'DENIED' },
  mismatch: badGateway,
  noLength: retryLater,
  shuttingDown: retryLater,
};

/** A full or sick disk turns misses into bypasses; what comes this far could not be helped that way. */
const storeRows: Readonly<Record<StoreErrorKind, Row>> = {
  full: { status: 503, code: 'UNAVAILABLE', isUnexpected: true },
  sick: { status: 503, code: 'UNAVAILABLE', isUnexpected: true },
  mismatch: badGateway,
  tooLarge: badGateway,
  locked: { status: 500, code: 'UNKNOWN', isUnexpected: true },
  layout: { status: 500, code: 'UNKNOWN', isUnexpected: true },
};

const codesOf404: Readonly<Record<Subject, readonly [OciErrorCode, ...OciErrorCode[]]>> = {
  manifest: ['MANIFEST_UNKNOWN', 'NAME_UNKNOWN'],
  blob: ['BLOB_UNKNOWN', 'NAME_UNKNOWN'],
  tags: ['NAME_UNKNOWN'],
  // With NAME_UNKNOWN here oras gives up instead of trying the fallback tag.
  referrers: ['UNSUPPORTED'],
  catalog: ['NAME_UNKNOWN'],
  other: ['NAME_UNKNOWN'],
};

/** The answer to `error`. `requestId` stands in the text of what only the log can explain. */
export function toErrorAnswer(error: unknown, subject: Subject, requestId: string): ErrorAnswer {
  if (error instanceof OciError) {
    const { status, code, message, detail, headers } = error;
    return { status, code, message, ...(detail === undefined ? {} : { detail }), headers, isUnexpected: false };
  }
  if (error instanceof UpstreamError) {
    return answer(upstreamRow(error, subject), upstreamSentence(error), error.retryAfterMs);
  }
  if (error instanceof CacheError) return answer(cacheRows[error.kind], aboutUpstream(error.upstream, error.message));
  if (error instanceof BrokenBodyError) {
    const isExplained = error.cause instanceof CacheError || error.cause instanceof UpstreamError;
    return isExplained ? toErrorAnswer(error.cause, subject, requestId) : answer(badGateway, error.message);
  }
  if (error instanceof StoreError) return answer(storeRows[error.kind], storeText(error.kind, requestId));
  return answer(
    { status: 500, code: 'UNKNOWN', isUnexpected: true },
    `internal error, see the log for request ${requestId}`,
  );
}

/** What the cache did with a request that failed; undefined when it was not asked, or cannot tell. */
export function outcomeOfFailure(error: unknown): Outcome | undefined {
  if (error instanceof RememberedRefusal) return error.outcome;
  if (error instanceof UpstreamError) {
    return error.kind === 'offline' ? { kind: 'miss', detail: 'offline' } : { kind: 'miss' };
  }
  if (error instanceof BrokenBodyError) return outcomeOfFailure(error.cause) ?? { kind: 'miss' };
  return error instanceof CacheError && error.kind !== 'nameUnknown' ? { kind: 'miss' } : undefined;
}

function answer(row: Row, message: string, retryAfterMs: number = defaultRetryAfterMs): ErrorAnswer {
  const seconds = Math.max(1, Math.ceil(retryAfterMs / 1000));
  return {
    status: row.status,
    code: row.code,
    message: readable(message),
    headers: row.isTemporary === true ? { 'Retry-After': String(seconds) } : {},
    isUnexpected: row.isUnexpected === true,
  };
}

function upstreamRow({ kind, code }: UpstreamError, subject: Subject): Row {
  if (kind === 'notFound') return { status: 404, code: notFoundCode(code, subject) };
  // There is a list, but not the page that was asked for: 404 would say that there is no repository.
  if (kind === 'unsupported' && subject === 'tags') return { status: 405, code: 'UNSUPPORTED' };
  return upstreamRows[kind];
}

/** The upstream's own code where it fits the question, else what the question implies. */
function notFoundCode(code: string | undefined, subject: Subject): OciErrorCode {
  const fitting = codesOf404[subject];
  return fitting.find((candidate) => candidate === code) ?? fitting[0];
}

function aboutUpstream(upstream: string, message: string): string {
  const isNamed = message.startsWith(`${upstream} `) || message.includes(`upstream ${upstream}`);
  return upstream === '' || isNamed ? message : `upstream ${upstream}: ${message}`;
}

/** Paths and error numbers of the machine are for the log. */
function storeText(kind: StoreErrorKind, requestId: string): string {
  if (kind === 'mismatch' || kind === 'tooLarge') return 'the upstream sent something that cannot be kept';
  return `the cache's own storage fails, see the log for request ${requestId}`;
}
