/** Which proxy, if any, carries a connection: the upstream's own, or the environment's by the rules of curl and Go. */
import { BlockList, isIP } from 'node:net';
import { dialledHost, portOf } from './origin.ts';

export type ProxyChoice =
  | { readonly kind: 'environment' }
  | { readonly kind: 'direct' }
  /** A URL that may hold a password. */
  | { readonly kind: 'url'; readonly url: { reveal(): string } };

/** The values of HTTP_PROXY, HTTPS_PROXY and NO_PROXY; whoever reads the environment passes them in. */
export interface ProxyEnvironment {
  readonly http: { reveal(): string } | undefined;
  readonly https: { reveal(): string } | undefined;
  /** `*`, `.suffix`, `host` (with its subdomains), `host:port`, an address or `10.0.0.0/8`; lower case. */
  readonly noProxy: readonly string[];
}

export interface Proxy {
  /** http or https, without user info. */
  readonly url: URL;
  /** Value for Proxy-Authorization. */
  readonly authorization: string | undefined;
}

/**
 * Chooses for each URL; undefined means to dial it directly. Throws TypeError for an unusable proxy URL, without
 * repeating it.
 */
export function proxyChooser(choice: ProxyChoice, environment: ProxyEnvironment): (url: URL) => Proxy | undefined {
  switch (choice.kind) {
    case 'direct':
      return () => undefined;
    case 'url': {
      const proxy = parseProxy(choice.url.reveal());
      return () => proxy;
    }
    case 'environment': {
      const [http, https] = [environment.http, environment.https].map((url) => url && parseProxy(url.reveal()));
      return (url) => (isExcluded(url, environment.noProxy) ? undefined : url.protocol === 'https:' ? https : http);
    }
  }
}

function parseProxy(text: string): Proxy {
  const url = URL.parse(text.includes('://') ? text : `http://${text}`);
  if (url === null || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
    throw new TypeError('the proxy is not an http or https URL');
  }
  const { username, password } = url;
  const plain = new URL(url.origin);
  if (username === '' && password === '') return { url: plain, authorization: undefined };
  const pair = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
  return { url: plain, authorization: `Basic ${Buffer.from(pair).toString('base64')}` };
}

function isExcluded(url: URL, noProxy: readonly string[]): boolean {
  const host = dialledHost(url);
  // A proxy on another machine has another localhost.
  if (host === 'localhost' || host.endsWith('.localhost') || isLoopback(host)) return true;
  return noProxy.some((entry) => entry === '*' || names(entry, host, portOf(url)));
}

function names(entry: string, host: string, port: number): boolean {
  if (isIP(host) !== 0) return entry.includes('/') ? isInside(entry, host) : sameAddress(entry, host, port);
  const [, name = '', wantedPort] = /^(?:\*?\.)?([^:]+)(?::([0-9]+))?$/.exec(entry) ?? [];
  if (name === '' || (wantedPort !== undefined && Number(wantedPort) !== port)) return false;
  const isSuffixOnly = entry.startsWith('.') || entry.startsWith('*.');
  return host.endsWith(`.${name}`) || (host === name && !isSuffixOnly);
}

function sameAddress(entry: string, host: string, port: number): boolean {
  return entry === host || entry === `${host}:${port}` || entry === `[${host}]` || entry === `[${host}]:${port}`;
}

function isInside(entry: string, host: string): boolean {
  const [address = '', prefix = ''] = entry.split('/');
  const family = isIP(address);
  if (family === 0 || family !== isIP(host) || !/^[0-9]{1,3}$/.test(prefix)) return false;
  if (Number(prefix) > (family === 4 ? 32 : 128)) return false;
  const list = new BlockList();
  list.addSubnet(address, Number(prefix), family === 4 ? 'ipv4' : 'ipv6');
  return list.check(host, family === 4 ? 'ipv4' : 'ipv6');
}

function isLoopback(host: string): boolean {
  return host === '::1' || (isIP(host) === 4 && host.startsWith('127.'));
}
