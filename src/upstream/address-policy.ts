/**
 * Where an upstream may send us. A redirect or a token realm is text of the upstream (or of whoever can publish there):
 * one that is on the public internet must not make us talk to the machine's own services, its network, or a cloud's
 * metadata server. What decides is the address that is dialled, never the host name: names can be made to resolve to
 * anything, and to something else the second time.
 *
 * An upstream that is itself in a private network may point into it; that is how private registries are built. The
 * configured endpoints, and hosts that configuration lists, are dialled wherever they lie.
 */
import { lookup as systemLookup } from 'node:dns';
import { BlockList, isIP, type LookupFunction } from 'node:net';
import { hostMatches, isSameOrigin, originMatches } from './origin.ts';

/** `nat64`: a public IPv4 address behind the well-known NAT64 prefix, as all are in a network that has IPv6 only. */
export type AddressClass = 'public' | 'private' | 'nat64';

/**
 * Special-purpose blocks (IANA registries, RFC 6890), and every IPv6 form that carries an IPv4 address inside. Two lists,
 * because a BlockList takes an IPv4 address and its IPv4-mapped form for one: `::ffff:0:0/96` would match all of IPv4.
 */
const specialIPv4 = blockList(`
  0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24 192.88.99.0/24
  192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4`);
const specialIPv6 = blockList(`
  ::/96 ::ffff:0:0/96 ::ffff:0:0:0/96 64:ff9b::/96 64:ff9b:1::/48 100::/64 2001::/23 2001:db8::/32 2002::/16 3fff::/20
  5f00::/16 fc00::/7 fe80::/10 fec0::/10 ff00::/8`);
const nat64 = blockList('64:ff9b::/96');

const strictness: readonly AddressClass[] = ['public', 'nat64', 'private'];

/** What is no IP address is `private`. */
export function classifyAddress(address: string): AddressClass {
  const plain = address.replace(/%.*$/, '');
  const family = isIP(plain);
  if (family === 0) return 'private';
  if (family === 4) return specialIPv4.check(plain, 'ipv4') ? 'private' : 'public';
  if (!specialIPv6.check(plain, 'ipv6')) return 'public';
  const isNat64 = nat64.check(plain, 'ipv6') && classifyAddress(embeddedIPv4(plain)) === 'public';
  return isNat64 ? 'nat64' : 'private';
}

export interface AddressPolicyOptions {
  /** The endpoint on whose behalf connections are made. */
  readonly home: URL;
  /** Other configured endpoints of the same upstream. */
  readonly endpoints: readonly URL[];
  /** `upstreams.X.allowHosts`: `host` (any port) or `host:port`. */
  readonly allowHosts: readonly string[];
  /** `upstreams.X.realms`: origins, or `host[:port]` with the scheme of the endpoint. */
  readonly realms: readonly string[];
  readonly classify?: (address: string) => AddressClass;
  readonly lookup?: typeof systemLookup;
}

export class AddressPolicy {
  readonly #options: AddressPolicyOptions;
  readonly #classify: (address: string) => AddressClass;
  /**
   * Of the endpoint, once it is known; until then it counts as public. It never becomes less strict: who controls the
   * name of a public registry could make it private for a moment.
   */
  #home: AddressClass | undefined;

  constructor(options: AddressPolicyOptions) {
    this.#options = options;
    this.#classify = options.classify ?? classifyAddress;
  }

  /** Configuration names this place itself, so it may lie anywhere. */
  isConfigured(url: URL): boolean {
    const { home, endpoints, allowHosts, realms } = this.#options;
    const isEndpoint = [home, ...endpoints].some((endpoint) => isSameOrigin(endpoint, url));
    return isEndpoint || hostMatches(allowHosts, url) || originMatches(realms, home, url);
  }

  /** False: no connection to this address for this URL. Also learns where the endpoint itself lies. */
  accepts(url: URL, address: string): boolean {
    const found = this.#classify(address);
    if (isSameOrigin(url, this.#options.home)) this.#home = stricter(found, this.#home);
    if (this.isConfigured(url) || found === 'public' || this.#home === 'private') return true;
    return found === 'nat64' && this.#home === 'nat64';
  }

  /**
   * For net.connect: resolves to the acceptable addresses of `url` only, so the address that was checked is the one
   * dialled. Fails with `refused()` when there are addresses and none is acceptable. IP literals never get here.
   */
  lookupFor(url: URL, refused: () => Error): LookupFunction {
    const lookup = this.#options.lookup ?? systemLookup;
    return (hostname, options, callback) => {
      lookup(hostname, { ...options, all: true }, (error, addresses) => {
        if (error !== null) return callback(error, []);
        const accepted = addresses.filter(({ address }) => this.accepts(url, address));
        const [first] = accepted;
        if (first === undefined) return callback(refused(), []);
        if (options.all === true) return callback(null, accepted);
        return callback(null, first.address, first.family);
      });
    };
  }
}

function stricter(found: AddressClass, known: AddressClass | undefined): AddressClass {
  if (known === undefined) return found;
  return strictness.indexOf(found) < strictness.indexOf(known) ? found : known;
}

function blockList(subnets: string): BlockList {
  const list = new BlockList();
  for (const subnet of subnets.trim().split(/\s+/)) {
    const [address = '', prefix = ''] = subnet.split('/');
    list.addSubnet(address, Number(prefix), isIP(address) === 6 ? 'ipv6' : 'ipv4');
  }
  return list;
}

/** The last 32 bits, in either notation. */
function embeddedIPv4(address: string): string {
  const dotted = /[0-9.]+\.[0-9.]+$/.exec(address);
  if (dotted !== null) return dotted[0];
  const { hostname } = new URL(`http://[${address}]/`);
  const groups = hostname.slice(1, -1).split('::').at(-1)?.split(':') ?? [];
  const [high, low] = [groups.at(-2), groups.at(-1)].map((group) =>
    Number.parseInt(group === '' ? '0' : (group ?? '0'), 16),
  );
  const bytes = [high ?? 0, low ?? 0].flatMap((group) => [group >> 8, group & 255]);
  return bytes.join('.');
}
