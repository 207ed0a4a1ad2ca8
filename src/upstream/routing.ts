/**
 * Which upstream a request means, and what the repository is called there. In this order: `ns`, a mapped Host, a first
 * path segment that is an upstream's key, the default upstream.
 *
 * A closed world: every way ends in a look-up of what the client wrote among the configured names, so no text of a client
 * ever becomes a host to dial. Names are compared as ASCII, without regard to case and without any other folding: a
 * trailing dot, another port or a look-alike letter is another name.
 */
import { parseRepository, type Repository } from '../oci/reference.ts';

export interface RoutedUpstream {
  /** As in configuration: `docker.io`, `lab`, `myreg:5000`. */
  readonly key: string;
  /** Host header values that mean this upstream; without a port, whatever the port. */
  readonly hosts: readonly string[];
  readonly isDefault: boolean;
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
    }
  /** 404 NAME_UNKNOWN. `reason` is one of a few sentences, without any text of the client. */
  | { readonly kind: 'unknown'; readonly reason: string };

export interface Router {
  route(request: RoutedRequest): Routed;
}

/** Two upstreams claim one name, or to be the default: configuration has to say which. */
export class RoutingError extends Error {
  readonly kind = 'ambiguous';

  constructor(message: string) {
    super(message);
    this.name = 'RoutingError';
  }
}

const hubKey = 'docker.io';
/** Other names of Docker Hub. `docker.io` itself is its web site, and never dialled as a registry. */
const hubAliases: readonly string[] = ['index.docker.io', 'registry-1.docker.io'];

/** Throws RoutingError when two upstreams claim the same name. */
export function createRouter(upstreams: readonly RoutedUpstream[]): Router {
  const byName = namesOf(upstreams);
  const bySegment = segmentsOf(upstreams, byName);
  const byHost = hostsOf(upstreams);
  const defaults = upstreams.filter(({ isDefault }) => isDefault);
  if (defaults.length > 1) throw new RoutingError('more than one upstream is the default');
  const defaultKey = defaults[0]?.key;

  function routeByNamespace(ns: string, name: string): Routed {
    const key = byName.get(canonical(ns));
    if (key === undefined) return unknown('no upstream is configured for this ns');
    const { first, rest } = split(name);
    const isRepeated = rest !== '' && bySegment.get(canonical(first)) === key;
    return found(key, isRepeated ? rest : name, ns);
  }

  function routeByPath(name: string): Routed {
    const { first, rest } = split(name);
    const key = bySegment.get(canonical(first));
    if (key !== undefined && rest !== '') return found(key, rest);
    // A name that looks like a host must not be asked of somebody else: that is how names get confused.
    if (/[.:]/.test(first)) return unknown('the first part of the name is no configured upstream');
    return defaultKey === undefined ? unknown('there is no default upstream') : found(defaultKey, name);
  }

  return {
    route({ ns, host, name }) {
      if (ns.length > 1) return unknown('ns is given more than once');
      const [namespace] = ns;
      if (namespace !== undefined) return routeByNamespace(namespace, name);
      const mapped = host === undefined ? undefined : lookUpHost(byHost, host);
      return mapped === undefined ? routeByPath(name) : found(mapped, name);
    },
  };
}

function found(key: string, name: string, echoNamespace?: string): Routed {
  const isHub = key === hubKey || hubAliases.includes(key);
  const repository = parseRepository(isHub && !name.includes('/') ? `library/${name}` : name);
  if (repository === undefined) return unknown('the name is no repository name');
  return { kind: 'found', upstream: key, repository, ...(echoNamespace === undefined ? {} : { echoNamespace }) };
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
  const full = canonical(host);
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
