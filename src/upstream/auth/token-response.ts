/** What a token server says: the JSON of distribution's docs/content/spec/auth/token.md and of its OAuth2 form. */
import { field, isJsonObject, parseJson, textField } from '../../lib/json/json.ts';
import { Secret } from '../../lib/secret.ts';

export interface Token {
  readonly value: Secret;
  /** From receipt; `issued_at` is the server's clock and is not looked at. */
  readonly lifetimeMs: number;
}

/** The specification's default and least lifetime. */
const leastSeconds = 60;
/** An hour costs one request; a token of a year would outlive what it was granted for. */
const mostSeconds = 3600;
const bounds = { depth: 32 };
/** What may stand in a header, and still fits beside others into one. */
const tokenText = /^[\x21-\x7e]{1,12288}$/;

/** Undefined when the text is not the JSON of a token. */
export function parseToken(body: Uint8Array): Token | undefined {
  const answer = parseObject(body);
  if (answer === undefined) return undefined;
  const value = [textField(answer, 'token'), textField(answer, 'access_token')].find(
    (text) => text !== undefined && text !== '',
  );
  if (value === undefined || !tokenText.test(value)) return undefined;
  return { value: new Secret(value), lifetimeMs: lifetimeSeconds(field(answer, 'expires_in')) * 1000 };
}

function lifetimeSeconds(expiresIn: unknown): number {
  const seconds = typeof expiresIn === 'string' ? Number.parseFloat(expiresIn) : expiresIn;
  if (typeof seconds !== 'number' || Number.isNaN(seconds)) return leastSeconds;
  return Math.min(Math.max(seconds, leastSeconds), mostSeconds);
}

/** Not JSON is an answer like any other here: the caller says what it got instead. */
function parseObject(body: Uint8Array): Readonly<Record<string, unknown>> | undefined {
  const value = parseJson(body, bounds);
  return isJsonObject(value) ? value : undefined;
}
