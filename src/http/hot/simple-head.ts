/**
 * Request heads that need no HTTP parser: exactly one GET or HEAD under /v2/, in the plainest form that RFC 9112 has, with
 * nothing in it that changes an answer. Everything else, however valid, is for node:http to read and to refuse.
 */
import { hostPattern } from '../v2/front.ts';

export interface SimpleHead {
  readonly method: 'GET' | 'HEAD';
  readonly target: string;
  readonly host: string;
  readonly userAgent: string | undefined;
  /** Its lines joined, as node:http does. */
  readonly forwardedFor: string | undefined;
}

/** Longer heads are rare, and remembering them is dear. */
export const maxSimpleHeadLength = 2048;

/** One SP between the words. */
const requestLinePattern = /^(GET|HEAD) (\/v2\/[!-~]*) HTTP\/1\.1$/;
/**
 * No folding, no control characters, nothing beyond ASCII. One line, and no two neighbours that fit the same characters: one
 * expression for the whole head had 3^lines ways to read `a:  ` thirty times over.
 */
const headerLinePattern = /^([A-Za-z0-9-]+):([ -~]*)$/;

/** Headers that no answer of ours depends on. */
const ignored: ReadonlySet<string> = new Set([
  'accept',
  'accept-encoding',
  'accept-language',
  'dnt',
  'docker-distribution-api-version',
  'from',
  'referer',
  'traceparent',
  'tracestate',
  'via',
  'x-forwarded-host',
  'x-forwarded-proto',
  'x-meta-source-client',
  'x-real-ip',
]);

/** Undefined for everything that is not as simple. `text` is what came in, byte for byte (latin1). */
export function parseSimpleHead(text: string): SimpleHead | undefined {
  if (text.length > maxSimpleHeadLength) return undefined;
  const lines = text.split('\r\n');
  if (lines.pop() !== '' || lines.pop() !== '') return undefined;
  const [, method, target = ''] = requestLinePattern.exec(lines.shift() ?? '') ?? [];
  if (method !== 'GET' && method !== 'HEAD') return undefined;
  let host: string | undefined;
  let userAgent: string | undefined;
  let forwardedFor: string | undefined;
  for (const line of lines) {
    const [, givenName, givenValue = ''] = headerLinePattern.exec(line) ?? [];
    if (givenName === undefined) return undefined;
    const name = givenName.toLowerCase();
    const value = givenValue.trim();
    if (name === 'host') {
      if (host !== undefined || value === '' || !hostPattern.test(value)) return undefined;
      host = value;
    } else if (name === 'user-agent') {
      if (userAgent !== undefined) return undefined;
      userAgent = value;
    } else if (name === 'connection') {
      if (value.toLowerCase() !== 'keep-alive') return undefined;
    } else if (name === 'x-forwarded-for') {
      forwardedFor = forwardedFor === undefined ? value : `${forwardedFor}, ${value}`;
    } else if (!ignored.has(name)) return undefined;
  }
  return host === undefined ? undefined : { method, target, host, userAgent, forwardedFor };
}
