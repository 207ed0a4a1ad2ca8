/** The errors of the façade as plain values, for callers on other threads that tell them apart by class and kind. */
import { OciError, type OciErrorCode } from '../../oci/errors.ts';
import { StoreError, type StoreErrorKind } from '../../store/contract/blob-store.ts';
import { UpstreamError, type UpstreamErrorKind } from '../../upstream/contract/errors.ts';
import { BrokenBodyError, CacheError, type CacheErrorKind } from '../../fill/contract/errors.ts';
import { RememberedRefusal } from '../freshness/negative-cache.ts';
import type { Outcome } from '../../headers/cache-status.ts';

interface Common {
  readonly message: string;
  readonly stack: string | undefined;
  readonly cause: PlainError | undefined;
}

interface PlainUpstream extends Common {
  readonly type: 'upstream';
  readonly kind: UpstreamErrorKind;
  readonly upstream: string;
  readonly status: number | undefined;
  readonly retryAfterMs: number | undefined;
  readonly code: string | undefined;
  /** Of one that is given from memory. */
  readonly outcome: Outcome | undefined;
}

type PlainError =
  | PlainUpstream
  | ({ readonly type: 'cache'; readonly kind: CacheErrorKind; readonly upstream: string } & Common)
  | ({ readonly type: 'store'; readonly kind: StoreErrorKind } & Common)
  | ({
      readonly type: 'oci';
      readonly code: OciErrorCode;
      readonly status: number;
      readonly detail: unknown;
      readonly headers: Readonly<Record<string, string>>;
    } & Common)
  /** `system`: what the system calls it, such as ECONNREFUSED. */
  | ({ readonly type: 'broken' | 'other'; readonly system?: string } & Common);

/** Causes beyond this are of no use to anybody. */
const maxDepth = 5;

export const remoteErrors = {
  encode: (error: unknown): unknown => encode(error, 0),
  decode: (encoded: unknown): Error => decode(encoded as PlainError),
};

function encode(error: unknown, depth: number): PlainError {
  if (!(error instanceof Error)) return { type: 'other', message: String(error), stack: undefined, cause: undefined };
  const { message, stack } = error;
  const hasCause = error.cause !== undefined && depth < maxDepth;
  const common: Common = { message, stack, cause: hasCause ? encode(error.cause, depth + 1) : undefined };
  if (error instanceof UpstreamError) {
    const { kind, upstream, status, retryAfterMs, code } = error;
    const outcome = error instanceof RememberedRefusal ? error.outcome : undefined;
    return { type: 'upstream', ...common, kind, upstream, status, retryAfterMs, code, outcome };
  }
  if (error instanceof CacheError) return { type: 'cache', ...common, kind: error.kind, upstream: error.upstream };
  if (error instanceof StoreError) return { type: 'store', ...common, kind: error.kind };
  if (error instanceof OciError) {
    const { code, status, detail, headers } = error;
    return { type: 'oci', ...common, code, status, detail, headers };
  }
  const system = 'code' in error && typeof error.code === 'string' ? { system: error.code } : {};
  return { type: error instanceof BrokenBodyError ? 'broken' : 'other', ...system, ...common };
}

function decode(plain: PlainError): Error {
  const error = make(plain);
  if (plain.stack !== undefined) error.stack = plain.stack;
  return error;
}

function make(plain: PlainError): Error {
  const { message } = plain;
  const options = plain.cause === undefined ? {} : { cause: decode(plain.cause) };
  switch (plain.type) {
    case 'upstream': {
      const { kind, upstream, status, retryAfterMs, code, outcome } = plain;
      const refusal = new UpstreamError(kind, message, {
        upstream,
        ...(status === undefined ? {} : { status }),
        ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
        ...(code === undefined ? {} : { code }),
        ...options,
      });
      return outcome === undefined ? refusal : new RememberedRefusal(refusal, outcome);
    }
    case 'cache':
      return new CacheError(plain.kind, plain.upstream, message, options);
    case 'store':
      return new StoreError(plain.kind, message, options);
    case 'oci': {
      const { code, status, detail, headers } = plain;
      return new OciError(code, { message, status, detail, headers, ...options });
    }
    case 'broken':
      return new BrokenBodyError(message, options);
    case 'other':
      return Object.assign(new Error(message, options), plain.system === undefined ? {} : { code: plain.system });
  }
}
