/** Comparing places on the network: origins (scheme, host and port), and hosts as configuration writes them. */

/** Credentials and connections are bound to an origin; this is the only test for "the same place". */
export function isSameOrigin(a: URL, b: URL): boolean {
  return a.origin === b.origin && a.origin !== 'null';
}

/** The port that is dialled. */
export function portOf(url: URL): number {
  if (url.port !== '') return Number(url.port);
  return url.protocol === 'https:' ? 443 : 80;
}

/** The host as sockets and certificates want it: IPv6 without brackets. */
export function dialledHost(url: URL): string {
  return url.hostname.startsWith('[') ? url.hostname.slice(1, -1) : url.hostname;
}

/** Whether one of `entries`, `host` at any port or `host:port` in lower case, names the place of `url`. No patterns. */
export function hostMatches(entries: readonly string[], url: URL): boolean {
  return entries.includes(url.hostname) || entries.includes(`${url.hostname}:${portOf(url)}`);
}

/** Whether one of `entries`, origins or `host[:port]` with the scheme of `base`, is the origin of `url`. */
export function originMatches(entries: readonly string[], base: URL, url: URL): boolean {
  return entries.some((entry) => {
    const origin = URL.parse(entry.includes('://') ? entry : `${base.protocol}//${entry}`)?.origin;
    return origin !== undefined && origin !== 'null' && origin === url.origin;
  });
}

/** For logs and messages: without user info, query and fragment, where signed URLs carry their signatures. */
export function withoutSecrets(url: URL): string {
  return `${url.origin}${url.pathname}`;
}
