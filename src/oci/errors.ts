/**
 * The error codes of the distribution-spec and of distribution, each with the HTTP status and the message that
 * distribution gives it (registry/api/errcode). Clients branch on the codes, so a bare status never leaves weir.
 */

export const ociErrors = {
  BLOB_UNKNOWN: { status: 404, message: 'blob unknown to registry' },
  BLOB_UPLOAD_INVALID: { status: 404, message: 'blob upload invalid' },
  BLOB_UPLOAD_UNKNOWN: { status: 404, message: 'blob upload unknown to registry' },
  DIGEST_INVALID: { status: 400, message: 'provided digest did not match uploaded content' },
  MANIFEST_BLOB_UNKNOWN: { status: 400, message: 'manifest references a manifest or blob unknown to registry' },
  MANIFEST_INVALID: { status: 400, message: 'manifest invalid' },
  MANIFEST_UNKNOWN: { status: 404, message: 'manifest unknown' },
  MANIFEST_UNVERIFIED: { status: 400, message: 'manifest failed signature verification' },
  NAME_INVALID: { status: 400, message: 'invalid repository name' },
  NAME_UNKNOWN: { status: 404, message: 'repository name not known to registry' },
  PAGINATION_NUMBER_INVALID: { status: 400, message: 'invalid number of results requested' },
  RANGE_INVALID: { status: 416, message: 'invalid content range' },
  SIZE_INVALID: { status: 400, message: 'provided length did not match content length' },
  TAG_INVALID: { status: 400, message: 'manifest tag did not match URI' },
  UNAUTHORIZED: { status: 401, message: 'authentication required' },
  DENIED: { status: 403, message: 'requested access to the resource is denied' },
  UNSUPPORTED: { status: 405, message: 'the operation is unsupported' },
  TOOMANYREQUESTS: { status: 429, message: 'too many requests' },
  UNAVAILABLE: { status: 503, message: 'service unavailable' },
  UNKNOWN: { status: 500, message: 'unknown error' },
} as const satisfies Readonly<Record<string, { readonly status: number; readonly message: string }>>;

export type OciErrorCode = keyof typeof ociErrors;

export interface OciErrorOptions {
  /** What the client reads. Never a secret, never a URL with its query. */
  readonly message?: string;
  /** Any JSON value for the `detail` member. */
  readonly detail?: unknown;
  /** When the code's usual status does not say enough, e.g. UNKNOWN with 502. */
  readonly status?: number;
  /** Headers that belong to the error: Retry-After, Allow, Content-Range. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly cause?: unknown;
}

/** An error that knows how it is to be answered. */
export class OciError extends Error {
  override readonly name = 'OciError';
  readonly kind = 'oci';
  readonly code: OciErrorCode;
  readonly status: number;
  readonly detail: unknown;
  readonly headers: Readonly<Record<string, string>>;

  constructor(code: OciErrorCode, options: OciErrorOptions = {}) {
    super(
      options.message ?? ociErrors[code].message,
      options.cause === undefined ? undefined : { cause: options.cause },
    );
    this.code = code;
    this.status = options.status ?? ociErrors[code].status;
    this.detail = options.detail;
    this.headers = options.headers ?? {};
  }

  /** The JSON text of the answer. */
  body(): string {
    return errorBody(this.code, this.message, this.detail);
  }
}

/** The error document of the distribution-spec, for `Content-Type: application/json`. */
export function errorBody(code: OciErrorCode, message: string = ociErrors[code].message, detail?: unknown): string {
  return JSON.stringify({ errors: [{ code, message, ...(detail === undefined ? {} : { detail }) }] });
}
