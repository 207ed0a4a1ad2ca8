/**
 * Which upstream a request means, and what the repository is called there. In this order: `ns`, a mapped Host, a first
 * path segment that is an upstream's key, the default upstream.
 *
 * A closed world: every way ends in a look-up of what the client wrote among the configured names, so no text of a client
 * ever becomes a host to dial. Upstreams' names are compared as ASCII, without regard to case and without any other
 * folding: a trailing dot (but in Host), another port or a look-alike letter is another name. Repositories are compared as they are.
 *
 * A first segment with a dot may be part of a repository (`llama.cpp/server`) or a registry that is not configured. The
 * default upstream is asked, which says whether it has it; not where a well-known registry is named, or whoever may push
 * to the default would own `quay.io/…`, and not where the default is Docker Hub, whose namespaces hold no dot: there it
 * could only be a host, perhaps an internal one, which is nothing to tell Docker Hub.
 */
import { hubAliases, hubKey, isHubName, isWellKnown } from '../oci/known-registries.ts';
import { parseRepository, type Repository } from '../oci/reference.ts';

export interface RoutedUpstream {
  /** As in configuration: `docker.io`, `lab`, `myreg:5000`. */
  readonly key: string;
  /** Host header values that mean this upstream; without a port, whatever the port. */
  readonly hosts: readonly string[];
  readonly isDefault: boolean;
  /** Its URL leads to Docker Hub. By a key that is one of Docker Hub's names it is taken for it anyway. */
  readonly isHub?: boolean | undefined;
  /** As `UpstreamOptions`; default 60 s. */
  readonly headTimeoutMs?: number | undefined;
}

export interface RoutedRequest {
  /** Every value of the `ns` parameter. */
  readonly ns: readonly string[];
  /** The Host header as the client sent it. */
  readonly host: string | undefined;
  /** The name in the path: a repository, or one behind `host:port`. */
  readonly name: string;
}

export type Routed =
  | {
      readonly kind: 'found';
      readonly upstream: string;
      readonly repository: Repository;
      /** What to send back as OCI-Namespace, where the client used `ns`. */
      readonly echoNamespace?: string;
      /** What to say beside a 404: the name may have been meant for a registry that is not configured. */
      readonly hint?: string;
    }
  /** 404 NAME_UNKNOWN. `reason` is one of a few sentences, without any text of the client. */
  | { readonly kind: 'unknown'; readonly reason: string };

export interface Router {
  route(request: RoutedRequest): Routed;
  /** This `ns` is the name by which the client reaches weir itself, and no upstream's. */
  isOwnName(ns: string, host: string | undefined): boolean;
}

/** Two upstreams claim one name, or to be the default: configuration has to say which. */
export class RoutingError extends Error {
  readonly kind = 'ambiguous';

  constructor(message: string) {
    super(message);
    this.name = 'RoutingError';
  }
}

const notConfigured = 'the first part of the name is no configured upstream';

/** Throws RoutingError when two upstreams claim the same name. */
export function createRouter(upstreams: readonly RoutedUpstream[]): Router {
  const byName = namesOf(upstreams);
  const bySegment = segmentsOf(upstreams, byName);
  const byHost = hostsOf(upstreams);
  const hubs = new Set(upstreams.filter((one) => one.isHub === true || isHubName(canonical(one.key))).map(keyOf));
  const defaults = upstreams.filter(({ isDefault }) => isDefault);
  if (defaults.length > 1) throw new RoutingError('more than one upstream is the default');
  const defaultKey = defaults[0]?.key;

  function found(key: string, name: string, more: { echoNamespace?: string; hint?: string } = {}): Routed {
    const repository = parseRepository(hubs.has(key) && !name.includes('/') ? `library/${name}` : name);
    return repository === undefined
      ? unknown('the name is no repository name')
      : { kind: 'found', upstream: key, repository, ...more };
  }

  function routeByNamespace(ns: string, host: string | undefined, name: string): Routed {
    const key = byName.get(canonical(ns));
    if (key === undefined) return routeByOwnName(ns, host, name);
    const { first, rest } = split(name);
    const isRepeated = rest !== '' && bySegment.get(canonical(first)) === key;
    return found(key, isRepeated ? rest : name, { echoNamespace: ns });
  }

  /**
   * A client that reaches weir as the mirror of everything names in `ns` whatever host stands in the image's name, and
   * that may be weir by another name: where it is the Host itself, or where a registry's name follows in the path. Any
   * other is a registry that weir does not know.
   */
  function routeByOwnName(ns: string, host: string | undefined, name: string): Routed {
    const { first, rest } = split(name);
    const isOwn = isOwnName(ns, host);
    const isRegistryBelow = rest !== '' && isHostLike(first) && bySegment.has(canonical(first));
    if (!isOwn && !(isRegistryBelow && isHostLike(ns) && !isWellKnown(canonical(ns)))) {
      return unknown('no upstream is configured for this ns');
    }
    const routed = isOwn ? routeByHost(host, name) : routeByPath(name);
    return routed.kind === 'found' ? { ...routed, echoNamespace: ns } : routed;
  }

  function isOwnName(ns: string, host: string | undefined): boolean {
    return host !== undefined && canonical(ns) === canonical(host) && !byName.has(canonical(ns));
  }

  function routeByHost(host: string | undefined, name: string): Routed {
    const mapped = host === undefined ? undefined : lookUpHost(byHost, host);
    return mapped === undefined ? routeByPath(name) : found(mapped, name);
  }

  function routeByPath(name: string): Routed {
    const { first, rest } = split(name);
    const key = bySegment.get(canonical(first));
    if (key !== undefined && rest !== '') return found(key, rest);
    if (isWellKnown(canonical(first))) return unknown(notConfigured);
    if (rest !== '' && (first.includes(':') || canonical(first) === 'localhost')) return unknown(notConfigured);
    if (defaultKey === undefined) return unknown('there is no default upstream');
    if (rest === '' || !first.includes('.')) return found(defaultKey, name);
    return hubs.has(defaultKey) ? unknown(notConfigured) : found(defaultKey, name, { hint: notConfigured });
  }

  return {
    isOwnName,
    route({ ns, host, name }) {
      if (ns.length > 1) return unknown('ns is given more than once');
      const [namespace] = ns;
      return namespace === undefined ? routeByHost(host, name) : routeByNamespace(namespace, host, name);
    },
  };
}

function keyOf({ key }: RoutedUpstream): string {
  return key;
}

/** A name that stands for a host, and not for a directory or a word. */
function isHostLike(text: string): boolean {
  // Nothing else, because an ns that passes is sent back in a header.
  if (!/^[A-Za-z0-9._:[\]-]+$/.test(text)) return false;
  return /[.:]/.test(text) || /-[0-9]{1,5}$/.test(text);
}

function unknown(reason: string): Routed {
  return { kind: 'unknown', reason };
}

/** Names in `ns`: the keys, and Docker Hub's other names unless an upstream of its own has them. */
function namesOf(upstreams: readonly RoutedUpstream[]): ReadonlyMap<string, string> {
  const names = new Map<string, string>();
  for (const { key } of upstreams) claim(names, key, key);
  for (const alias of names.has(hubKey) ? hubAliases : []) if (!names.has(alias)) names.set(alias, hubKey);
  return names;
}

/** Names as a first path segment: the same, and `host-5000` for `host:5000`, since a colon is illegal in names. */
function segmentsOf(
  upstreams: readonly RoutedUpstream[],
  names: ReadonlyMap<string, string>,
): ReadonlyMap<string, string> {
  const segments = new Map(names);
  for (const { key } of upstreams) {
    const alias = key.replace(/:([0-9]+)$/, '-$1');
    if (alias !== key && !names.has(canonical(alias))) claim(segments, alias, key);
  }
  return segments;
}

function hostsOf(upstreams: readonly RoutedUpstream[]): ReadonlyMap<string, string> {
  const hosts = new Map<string, string>();
  for (const { key, hosts: own } of upstreams) for (const host of own) claim(hosts, host, key);
  return hosts;
}

function lookUpHost(hosts: ReadonlyMap<string, string>, host: string): string | undefined {
  // With the dot at its end it is the same name, spelt in full (RFC 1034 §3.1); clients send it as they were given it.
  const full = canonical(host).replace(/\.(:[0-9]{1,5})?$/, '$1');
  return hosts.get(full) ?? hosts.get(full.replace(/:[0-9]{1,5}$/, ''));
}

function claim(names: Map<string, string>, name: string, key: string): void {
  const text = canonical(name);
  const holder = names.get(text);
  if (holder !== undefined) throw new RoutingError(`${holder} and ${key} both claim the name ${name}`);
  names.set(text, key);
}

/** ASCII only: `toLowerCase` makes a plain k of the Kelvin sign. */
function canonical(text: string): string {
  return text.replace(/[A-Z]/g, (letter) => letter.toLowerCase());
}

function split(name: string): { first: string; rest: string } {
  const slash = name.indexOf('/');
  return slash === -1 ? { first: name, rest: '' } : { first: name.slice(0, slash), rest: name.slice(slash + 1) };
}
