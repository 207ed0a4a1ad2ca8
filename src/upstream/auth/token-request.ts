/** How a token request is written: the query of a GET, the form of a POST, the header that goes with them. */
import type { Secret } from '../../lib/secret.ts';

/** The OAuth2 form requires a client name. */
const clientId = 'weir';

/** `realm` with service and scopes behind whatever query it has: `…?a=b&service=s&scope=s1&scope=s2`. */
export function tokenUrl(realm: URL, service: string | undefined, scopes: readonly string[]): URL {
  const added = scopes.map((scope) => `scope=${encode(scope)}`);
  // `service=` with nothing behind it is another question than none, and some servers answer it with 400.
  if (service !== undefined) added.unshift(`service=${encode(service)}`);
  const url = new URL(realm);
  // Not searchParams.append: it would rewrite what the registry put into the query.
  url.search = [url.search.slice(1), ...added].filter((part) => part !== '').join('&');
  return url;
}

/** OAuth2's refresh-token grant (RFC 6749 §6); its scopes are one list with spaces. */
export function formBody(service: string | undefined, scopes: readonly string[], refreshToken: string): string {
  const form = new URLSearchParams({ grant_type: 'refresh_token', client_id: clientId, refresh_token: refreshToken });
  if (service !== undefined) form.set('service', service);
  if (scopes.length > 0) form.set('scope', scopes.join(' '));
  return form.toString();
}

/** Value of an Authorization header (RFC 7617, UTF-8). */
export function basicHeader({ username, password }: { readonly username: string; readonly password: Secret }): string {
  return `Basic ${Buffer.from(`${username}:${password.reveal()}`, 'utf8').toString('base64')}`;
}

/** Names are readable in the token server's log: colons, slashes and commas may stand in a query as they are. */
function encode(text: string): string {
  return encodeURIComponent(text).replaceAll(/%3A|%2F|%2C/g, decodeURIComponent);
}
