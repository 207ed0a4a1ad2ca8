/**
 * Where an upstream may send us. A redirect or a token realm is text of the upstream (or of whoever can publish there):
 * one that is on the public internet must not make us talk to the machine's own services, its network, or a cloud's
 * metadata server. What decides is the address that is dialled, never the host name: names can be made to resolve to
 * anything, and to something else the second time.
 *
 * An upstream that is itself in a private network may point into it; that is how private registries are built. Loopback,
 * the other addresses of this machine, link-local ones and metadata services are no such network: only an upstream that
 * is there itself may point there.
 * The configured endpoints, and hosts that configuration lists, are dialled wherever they lie.
 */
import { lookup as systemLookup } from 'node:dns';
import type { LookupFunction } from 'node:net';
import { type AddressClass, classifyAddress } from './address-class.ts';
import { hostMatches, isSameOrigin, originMatches } from './origin.ts';
import { isOwnAddress } from './own-addresses.ts';

/** From the least to the most that an upstream may do that lies there. */
const strictness: readonly AddressClass[] = ['public', 'nat64', 'private', 'loopback', 'linkLocal'];
/** Endpoints have a few addresses; more are no reason to allow more. */
const maxOwnAddresses = 16;

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
  /** Whether an address is one of this machine's own. Default: by its interfaces, unless `classify` says what is where. */
  readonly isOwn?: (address: string) => boolean;
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
  /** The link-local ones of the endpoint. */
  readonly #ownAddresses = new Set<string>();

  constructor(options: AddressPolicyOptions) {
    this.#options = options;
    const { classify = classifyAddress } = options;
    const isOwn = options.isOwn ?? (options.classify === undefined ? isOwnAddress : () => false);
    this.#classify = (address) => {
      const found = classify(address);
      return found !== 'linkLocal' && isOwn(address) ? 'loopback' : found;
    };
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
    if (isSameOrigin(url, this.#options.home)) this.#learn(found, address);
    return this.isConfigured(url) || this.#mayLeadTo(found, address);
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

  #learn(found: AddressClass, address: string): void {
    this.#home = stricter(found, this.#home);
    if (found === 'linkLocal' && this.#ownAddresses.size < maxOwnAddresses)
      this.#ownAddresses.add(withoutZone(address));
  }

  #mayLeadTo(found: AddressClass, address: string): boolean {
    const home = this.#home ?? 'public';
    switch (found) {
      case 'public':
        return true;
      case 'nat64':
        return home !== 'public';
      case 'private':
        return home === 'private' || home === 'loopback' || home === 'linkLocal';
      case 'loopback':
        return home === 'loopback';
      case 'linkLocal':
        return home === 'linkLocal' && this.#ownAddresses.has(withoutZone(address));
    }
  }
}

function stricter(found: AddressClass, known: AddressClass | undefined): AddressClass {
  if (known === undefined) return found;
  return strictness.indexOf(found) < strictness.indexOf(known) ? found : known;
}

function withoutZone(address: string): string {
  return address.split('%', 1)[0] ?? '';
}
