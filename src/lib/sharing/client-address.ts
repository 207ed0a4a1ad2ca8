/**
 * What tells one client from another: its address as one text. IPv4 stays as it is, IPv4 written as IPv6 is IPv4, and of
 * IPv6 the /64 counts, since whoever has one address of it has all of them.
 */
import { BlockList, isIP, isIPv4 } from 'node:net';

/** Entries of one X-Forwarded-For that are looked at, from its end. */
const maxHops = 32;

/** The text of an address; undefined for what is none. A zone (`%eth0`) does not count. */
export function clientAddress(address: string): string | undefined {
  const plain = plainAddress(address);
  if (plain === undefined || isIPv4(plain)) return plain;
  return `${groupsOf(plain).slice(0, 4).join(':')}::/64`;
}

/** Without zone; IPv4 written as IPv6 as IPv4. Undefined for what is no address. */
function plainAddress(address: string): string | undefined {
  const zone = address.indexOf('%');
  const text = zone === -1 ? address : address.slice(0, zone);
  const family = isIP(text);
  if (family !== 6) return family === 4 ? text : undefined;
  const groups = groupsOf(text);
  const isMapped = groups.slice(0, 5).every((group) => group === '0') && groups[5] === 'ffff';
  if (!isMapped) return text;
  return groups
    .slice(6)
    .map((group) => Number.parseInt(group, 16))
    .flatMap((group) => [group >> 8, group & 0xff])
    .join('.');
}

/** The eight groups of an IPv6 address, in hex without zeros in front. */
function groupsOf(text: string): readonly string[] {
  const end = text.lastIndexOf(':') + 1;
  const quad = text.includes('.') ? text.slice(end).split('.').map(Number) : undefined;
  const [a = 0, b = 0, c = 0, d = 0] = quad ?? [];
  const tail = quad === undefined ? [] : [(a << 8) | b, (c << 8) | d].map((group) => group.toString(16));
  const whole = quad === undefined ? text : `${text.slice(0, end)}${tail.join(':')}`;
  const [left = '', right] = whole.split('::');
  const before = left === '' ? [] : left.split(':');
  const after = right === undefined || right === '' ? [] : right.split(':');
  const zeros = Array.from({ length: 8 - before.length - after.length }, () => '0');
  return [...before, ...zeros, ...after].map((group) => Number.parseInt(group, 16).toString(16));
}

/** An address with the number of its leading bits that count. */
export interface AddressBlock {
  readonly address: string;
  readonly prefix: number;
}

/** `10.0.0.0/8`, `fd00::/8`, or one address. Undefined for anything else. */
export function parseBlock(text: string): AddressBlock | undefined {
  const [address = '', bits, ...rest] = text.split('/');
  const family = isIP(address);
  if (family === 0 || rest.length > 0) return undefined;
  const longest = family === 4 ? 32 : 128;
  if (bits === undefined) return { address, prefix: longest };
  const prefix = /^[0-9]{1,3}$/.test(bits) ? Number(bits) : Number.NaN;
  return prefix <= longest ? { address, prefix } : undefined;
}

/** Who asked, seen through the proxies that are trusted to say for whom they ask. */
export class ClientAddresses {
  readonly #trusted: BlockList | undefined;

  constructor(trusted: readonly AddressBlock[] = []) {
    if (trusted.length === 0) return;
    this.#trusted = new BlockList();
    for (const { address, prefix } of trusted) this.#trusted.addSubnet(address, prefix, familyOf(address));
  }

  /** Whether what the peer says about others counts. */
  isTrusted(peer: string | undefined): boolean {
    if (this.#trusted === undefined || peer === undefined) return false;
    const plain = plainAddress(peer);
    return plain !== undefined && this.#trusted.check(plain, familyOf(plain));
  }

  /**
   * The client behind `peer`, by the last entry of X-Forwarded-For that no trusted proxy is; what stands before that
   * could have been written by anybody. Undefined only where the peer has no address (any more).
   */
  of(peer: string | undefined, forwardedFor: string | undefined): string | undefined {
    if (peer === undefined) return undefined;
    let client = peer;
    let end = forwardedFor?.length ?? 0;
    for (let hop = 0; hop < maxHops && forwardedFor !== undefined && this.isTrusted(client) && end > 0; hop++) {
      const comma = forwardedFor.lastIndexOf(',', end - 1);
      const entry = entryAddress(forwardedFor.slice(comma + 1, end).trim());
      if (entry === undefined) break;
      client = entry;
      end = comma;
    }
    return clientAddress(client);
  }
}

/** Some proxies add the port: `192.0.2.1:4711`, `[2001:db8::1]:4711`. */
function entryAddress(entry: string): string | undefined {
  if (entry.length > 64) return undefined;
  const bare = /^\[(?<six>[^\]]*)\](?::[0-9]+)?$|^(?<four>[0-9.]+):[0-9]+$/.exec(entry)?.groups;
  const address = bare?.['six'] ?? bare?.['four'] ?? entry;
  return isIP(address) === 0 ? undefined : address;
}

function familyOf(address: string): 'ipv4' | 'ipv6' {
  return isIPv4(address) ? 'ipv4' : 'ipv6';
}
