/** What kind of place an IP address is, also when it is an IPv4 address inside of an IPv6 one. */
import { BlockList, isIP } from 'node:net';

/**
 * - `nat64`: a public IPv4 address behind the well-known NAT64 prefix, as all are in a network that has IPv6 only.
 * - `private`: everything of IANA's special-purpose registries that is none of the following.
 * - `loopback`: this machine.
 * - `linkLocal`: the cable's own addresses, and where a cloud tells each machine its secrets: nobody's registry network.
 */
export type AddressClass = 'public' | 'nat64' | 'private' | 'loopback' | 'linkLocal';

/**
 * Special-purpose blocks (IANA registries, RFC 6890), and every IPv6 form that carries an IPv4 address inside. Two lists,
 * because a BlockList takes an IPv4 address and its IPv4-mapped form for one: `::ffff:0:0/96` would match all of IPv4.
 */
const specialIPv4 = blockList(`
  10.0.0.0/8 100.64.0.0/10 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24 192.88.99.0/24 192.168.0.0/16 198.18.0.0/15
  198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4`);
const specialIPv6 = blockList(`
  ::/96 ::ffff:0:0/96 ::ffff:0:0:0/96 64:ff9b::/96 64:ff9b:1::/48 100::/64 2001::/23 2001:db8::/32 2002::/16 3fff::/20
  5f00::/16 fc00::/7 fec0::/10 ff00::/8`);

/** Linux connects to itself when it is told to connect to nowhere. */
const loopbackIPv4 = blockList('0.0.0.0/8 127.0.0.0/8');
const loopbackIPv6 = blockList('::/128 ::1/128');

/** Besides link-local: the metadata services of Alibaba, Oracle (classic) and Azure, whose address looks public. */
const linkLocalIPv4 = blockList('169.254.0.0/16 100.100.100.200/32 192.0.0.192/32 168.63.129.16/32');
/** Besides link-local: those of Amazon, Google, Oracle, Scaleway, Akamai and Alibaba. */
const linkLocalIPv6 = blockList(`
  fe80::/10 fd00:ec2::/32 fd20:ce::254/128 fd00:c1::a9fe:a9fe/128 fd00:42::42/128 fd00:a9fe:a9fe::1/128
  fd00:100::100:200/128`);

/** Where an IPv6 address has an IPv4 address inside: the bits at which its bytes begin. */
const last = [96, 104, 112, 120];
const carriers = [
  // IPv4-compatible, -mapped and -translated, and NAT64.
  ...['::/96', '::ffff:0:0/96', '::ffff:0:0:0/96', '64:ff9b::/96'].map((block) => carrier(block, last)),
  // 6to4, and the server of Teredo.
  carrier('2002::/16', [16, 24, 32, 40]),
  carrier('2001::/32', [32, 40, 48, 56]),
  // A network's own NAT64 may use any length of prefix (RFC 6052 §2.2).
  carrier('64:ff9b:1::/48', [48, 56, 72, 80], true),
  carrier('64:ff9b:1::/48', [56, 72, 80, 88], true),
  carrier('64:ff9b:1::/48', [72, 80, 88, 96], true),
  carrier('64:ff9b:1::/48', last, true),
];
/** ISATAP (RFC 5214 §6.1): an interface's own half of whatever prefix, with the universal bit or without. */
const isatap = /^0[02]005efe$/;
const nat64 = blockList('64:ff9b::/96');
const teredo = blockList('2001::/32');

interface Carrier {
  readonly block: BlockList;
  readonly bits: readonly number[];
  /** Other lengths of the prefix see zeros here. */
  readonly isGuess: boolean;
}

/** What is no IP address is `private`. */
export function classifyAddress(address: string): AddressClass {
  const [plain = ''] = address.split('%', 1);
  const family = isIP(plain);
  if (family === 0) return 'private';
  return family === 4 ? classifyIPv4(plain) : classifyIPv6(plain);
}

function classifyIPv4(address: string): AddressClass {
  if (loopbackIPv4.check(address, 'ipv4')) return 'loopback';
  if (linkLocalIPv4.check(address, 'ipv4')) return 'linkLocal';
  return specialIPv4.check(address, 'ipv4') ? 'private' : 'public';
}

function classifyIPv6(address: string): AddressClass {
  if (loopbackIPv6.check(address, 'ipv6')) return 'loopback';
  if (linkLocalIPv6.check(address, 'ipv6')) return 'linkLocal';
  const inside = new Set(embeddedIPv4(address).map(classifyIPv4));
  if (inside.has('linkLocal')) return 'linkLocal';
  if (inside.has('loopback')) return 'loopback';
  // A public prefix does not hide a tunnel's private end.
  if (!specialIPv6.check(address, 'ipv6')) return inside.has('private') ? 'private' : 'public';
  return nat64.check(address, 'ipv6') && inside.has('public') ? 'nat64' : 'private';
}

/** The IPv4 addresses that an IPv6 address may stand for. */
export function embeddedIPv4(address: string): readonly string[] {
  const bytes = bytesOf(address);
  const found = carriers.flatMap(({ block, bits, isGuess }) => {
    if (!block.check(address, 'ipv6')) return [];
    const inside = bits.map((bit) => bytes[bit / 8] ?? 0);
    return isGuess && inside[0] === 0 ? [] : [inside.join('.')];
  });
  // Teredo hides the client's address by turning its bits round (RFC 4380 §4).
  if (teredo.check(address, 'ipv6'))
    found.push(
      bytes
        .slice(-4)
        .map((byte) => byte ^ 0xff)
        .join('.'),
    );
  if (isatap.test(Buffer.from(bytes.slice(8, 12)).toString('hex'))) found.push(bytes.slice(-4).join('.'));
  return found;
}

/** The 16 bytes of an IPv6 address, in whatever notation. */
function bytesOf(address: string): readonly number[] {
  // The parser of URLs writes all of them in one way, without dots.
  const [head = '', tail] = new URL(`http://[${address}]/`).hostname.slice(1, -1).split('::');
  const groupsOf = (text: string): number[] =>
    text === '' ? [] : text.split(':').map((group) => Number.parseInt(group, 16));
  const before = groupsOf(head);
  const after = groupsOf(tail ?? '');
  const between = Array.from({ length: 8 - before.length - after.length }, () => 0);
  return [...before, ...between, ...after].flatMap((group) => [group >> 8, group & 255]);
}

function carrier(subnet: string, bits: readonly number[], isGuess = false): Carrier {
  return { block: blockList(subnet), bits, isGuess };
}

function blockList(subnets: string): BlockList {
  const list = new BlockList();
  for (const subnet of subnets.trim().split(/\s+/)) {
    const [address = '', prefix = ''] = subnet.split('/');
    list.addSubnet(address, Number(prefix), isIP(address) === 6 ? 'ipv6' : 'ipv4');
  }
  return list;
}
