/** Addresses as people write them: where to listen, which host is meant, which URL to ask. */
import { isIP, isIPv4 } from 'node:net';
import { type AddressBlock, parseBlock } from '../../lib/sharing/client-address.ts';
import type { ListenAddress } from '../values/config.ts';
import type { Parsed } from '../values/units.ts';
import { trimmedEnd } from '../../lib/trim.ts';

/** A DNS name; underscores because container networks have them. IDNs are written in their `xn--` form. */
const hostName = /^(?!-)[a-z0-9_-]{1,63}(?:\.(?!-)[a-z0-9_-]{1,63})*$/;
const hostAndPort = /^(?<host>\[[0-9a-f:.]+\]|[^:[\]/@?#\s]+)(?::(?<port>[0-9]{1,5}))?$/;

export const keyPattern = '^[a-z0-9](?:[a-z0-9._-]{0,251}[a-z0-9])?(?::[0-9]{1,5})?$';
const keyShape = new RegExp(keyPattern);

interface HostPort {
  /** Lower case; IPv6 without brackets. */
  readonly host: string;
  readonly port: number | undefined;
}

function parseHostPort(text: string): HostPort | undefined {
  const groups = hostAndPort.exec(text.toLowerCase())?.groups;
  const written = groups?.['host'];
  if (written === undefined) return undefined;
  const host = written.startsWith('[') ? written.slice(1, -1) : written;
  const isValid = written.startsWith('[') ? isIP(host) === 6 : isHost(host);
  if (!isValid) return undefined;
  const digits = groups?.['port'];
  const port = digits === undefined ? undefined : Number(digits);
  return port !== undefined && port > 65_535 ? undefined : { host, port };
}

function isHost(host: string): boolean {
  if (isIP(host) === 4) return true;
  // Digits and dots that are no IPv4 address ("300.1.1.1", "1.2.3") would be read as one by some libraries.
  return host.length <= 253 && hostName.test(host) && !/^[0-9.]+$/.test(host);
}

/** `127.0.0.1:5000`, `[::]:5000`, `localhost:5000`; `:5000` means every address, port 0 lets the system choose. */
export function parseListen(text: string): Parsed<ListenAddress> {
  const parsed = parseHostPort(text.startsWith(':') ? `[::]${text}` : text);
  if (parsed?.port === undefined) {
    return { problem: 'write host:port, like 127.0.0.1:5000, [::1]:5000 or 0.0.0.0:5000 (every address)' };
  }
  return { value: { host: parsed.host, port: parsed.port } };
}

/** One address, or a network: `10.0.0.0/8`, `fd00::/8`. */
export function parseProxy(text: string): Parsed<AddressBlock> {
  const value = parseBlock(text);
  return value === undefined ? { problem: 'write an address or a network, like 10.0.0.7 or 10.0.0.0/8' } : { value };
}

export function formatListen({ host, port }: ListenAddress): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** Whether only this machine can reach a listener there. */
export function isLoopback({ host }: Pick<ListenAddress, 'host'>): boolean {
  return host === 'localhost' || host === '::1' || (isIPv4(host) && host.startsWith('127.'));
}

/** A host's name alone, in lower case and without the dot of a full name. */
export function parseHostName(text: string): Parsed<string> {
  const name = text.toLowerCase().replace(/\.$/, '');
  return /^[a-z0-9._-]{1,253}$/.test(name)
    ? { value: name }
    : { problem: 'write a host name without a port, like weir.example' };
}

/** `host` or `host:port`, in lower case. */
export function parseHost(text: string): Parsed<string> {
  const parsed = parseHostPort(text);
  if (parsed === undefined || parsed.port === 0) {
    return {
      problem: 'write a host name or address, with a port where it matters, like mirror.example or 10.0.0.5:5000',
    };
  }
  return { value: text.toLowerCase() };
}

/** A token endpoint: `host`, `host:port` or an origin like `http://auth.lab:5001`; lower case. */
export function parseRealm(text: string): Parsed<string> {
  if (!text.includes('://')) {
    const host = parseHost(text);
    return 'problem' in host
      ? { problem: 'write a host like auth.example, or an origin like https://auth.example' }
      : host;
  }
  const url = parseUrl(text);
  if ('problem' in url) return url;
  const { origin } = new URL(url.value);
  return origin === url.value ? url : { problem: `write the origin alone: ${origin}` };
}

/** A base URL, normalised and without trailing slash. Credentials, query and fragment have no place in it. */
export function parseUrl(text: string): Parsed<string> {
  const url = /^https?:\/\/[^\s\\]+$/i.test(text) ? URL.parse(text) : null;
  if (url === null) return { problem: 'write a URL that starts with https:// or http://' };
  if (url.username !== '' || url.password !== '') {
    return { problem: 'a URL must not hold a user or password; use auth.username and auth.passwordFile' };
  }
  if (url.search !== '' || url.hash !== '' || /[?#]/.test(text)) {
    return { problem: 'a URL must not have a query or a fragment' };
  }
  if (parseHostPort(url.host) === undefined) return { problem: 'the host of the URL is not valid' };
  return { value: url.origin + trimmedEnd(url.pathname, '/') };
}

/**
 * The base URL of a registry, below which weir asks for `/v2/` itself. Who writes it along has copied it, or means that
 * repositories lie below another one there.
 */
export function parseRegistryUrl(text: string): Parsed<string> {
  const url = parseUrl(text);
  if ('problem' in url) return url;
  const { origin, pathname } = new URL(url.value);
  const [before = '', below] = `${pathname}/`.split(/\/v2\/(.*)/s);
  if (below === undefined) return url;
  const base = `write ${origin}${before}: weir adds /v2/ itself`;
  const prefix = trimmedEnd(below, '/');
  return { problem: prefix === '' ? base : `${base}; what is below it is the prefix: ${prefix}` };
}

/** Name of an upstream: a registry's host, with its port if it has one, or any short name. Undefined when it is fine. */
export function keyProblem(key: string): string | undefined {
  const [name = '', port] = key.split(':');
  const isPort = port === undefined || (Number(port) >= 1 && Number(port) <= 65_535);
  if (keyShape.test(key) && isPort && !name.includes('..') && !['constructor', 'prototype'].includes(key)) {
    return undefined;
  }
  const lower = key.toLowerCase();
  if (lower !== key && keyProblem(lower) === undefined) return `write it in lower case: ${lower}`;
  if (key.includes('://')) return 'write the name or host alone here, and the address as its url';
  return 'name an upstream by its host, like ghcr.io or registry.example:5000, or by a short name like lab';
}

/** Hides user and password of anything that looks like a URL, for messages. Rather too much than too little. */
export function maskUserInfo(text: string): string {
  return text.replaceAll(/\/\/\S*/g, (rest) => {
    const at = rest.lastIndexOf('@');
    return at < 0 ? rest : `//***${rest.slice(at)}`;
  });
}
