/** What a response head may say about its body. llhttp refuses most contradictions; this refuses the rest. */

type Headers = Readonly<Record<string, string | readonly string[] | undefined>>;

/** The bytes announced: digits only, at most 2^53 - 1. Undefined: absent, repeated or anything else. */
export function parseContentLength(value: string | readonly string[] | undefined): number | undefined {
  if (typeof value !== 'string' || !/^[0-9]{1,16}$/.test(value)) return undefined;
  const bytes = Number(value);
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}

/** Why nothing behind this head can be trusted; undefined when it is in order. */
export function framingProblem(headers: Headers): string | undefined {
  const length = headers['content-length'];
  const encoding = headers['transfer-encoding'];
  if (length !== undefined && parseContentLength(length) === undefined) return 'malformed Content-Length';
  if (encoding === undefined) return undefined;
  if (length !== undefined) return 'Content-Length and Transfer-Encoding at once';
  // `gzip, chunked` would be a body that is not the bytes of the blob.
  if (typeof encoding !== 'string' || encoding.trim().toLowerCase() !== 'chunked')
    return 'Transfer-Encoding is not chunked';
  return undefined;
}

/** The one value of a header; undefined when it is absent, the first line when it is repeated. */
export function firstOf(value: string | readonly string[] | undefined): string | undefined {
  return typeof value === 'object' ? value[0] : value;
}

/** Every line of a header. */
export function linesOf(value: string | readonly string[] | undefined): readonly string[] {
  if (value === undefined) return [];
  return typeof value === 'string' ? [value] : value;
}
