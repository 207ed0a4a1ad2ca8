/** Makes an Upstream of plain options: the one place that knows all parts of this room. */
import type { lookup } from 'node:dns';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/log.ts';
import type { AddressClass } from './address-class.ts';
import { AddressPolicy } from './address-policy.ts';
import { Authorizer } from './auth.ts';
import type { CredentialSource } from './credentials.ts';
import type { Endpoint } from './endpoint.ts';
import { Endpoints } from './endpoints.ts';
import { firstOf } from './framing.ts';
import { Breaker } from './limits.ts';
import { LineSender } from './line-sender.ts';
import { observed } from './observed-sender.ts';
import { hostMatches, isSameOrigin, originMatches } from './origin.ts';
import { PoolSender, type PoolSenderOptions } from './pool-sender.ts';
import { proxyChooser, type ProxyChoice, type ProxyEnvironment } from './proxy.ts';
import { RegistryClient } from './registry-client.ts';
import type { IncomingResponse } from './sender.ts';
import type { StallLimits } from './stall-watch.ts';
import { type TlsFiles, type TlsPlace, TlsSettings } from './tls.ts';
import type { Upstream, UpstreamEvents } from './upstream.ts';
import { trimmedEnd } from '../lib/trim.ts';

export interface UpstreamOptions {
  readonly key: string;
  /** Base URLs in the order in which they are tried, at least one; no credentials, no query, no trailing slash. */
  readonly endpoints: readonly string[];
  /** A repository's name, before that of every repository there. */
  readonly prefix?: string | undefined;
  /** Undefined: everything is anonymous. */
  readonly credentials: CredentialSource | undefined;
  readonly realms: readonly string[];
  readonly allowHosts: readonly string[];
  readonly tls: TlsFiles;
  readonly proxy: ProxyChoice;
  readonly proxyEnvironment: ProxyEnvironment;
  /** Blob transfers at once. */
  readonly connections: number;
  /** Bytes per second over all blob transfers; undefined: unlimited. */
  readonly bandwidth?: number | undefined;
  readonly isOffline: boolean;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly events: UpstreamEvents;
  /** For tests: other limits, and another network than the real one. */
  readonly transport?: Partial<TransportOptions>;
}

export interface TransportOptions {
  readonly connectTimeoutMs: number;
  readonly tlsTimeoutMs: number;
  readonly bodyLimits: StallLimits;
  readonly classifyAddress: (address: string) => AddressClass;
  readonly lookup: typeof lookup;
}

const defaults = {
  connectTimeoutMs: 3_000,
  tlsTimeoutMs: 5_000,
  bodyLimits: { idleMs: 60_000, floorBytesPerSecond: 16 * 1024, floorWindowMs: 60_000 },
};

/** Throws TypeError for endpoints or proxies that are no URLs. Dials nothing yet. */
export function createUpstream(options: UpstreamOptions): Upstream {
  const { key, clock, events, logger, connections, bandwidth, isOffline } = options;
  const urls = options.endpoints.map((text) => new URL(text));
  const endpoints = urls.map((url) => createEndpoint(url, urls, options));
  const breaker = new Breaker({
    upstream: key,
    clock,
    onChange(isOpen) {
      events.breakerChanged({ upstream: key, isOpen });
      if (isOpen) logger.warn({ upstream: key }, 'upstream failed and is left alone for a while');
      else logger.info({ upstream: key }, 'upstream answers again');
    },
  });
  const onRegistryAnswer = ({ headers }: IncomingResponse): void => {
    const remaining = /^[0-9]{1,9}/.exec(firstOf(headers['ratelimit-remaining']) ?? '')?.[0];
    if (remaining !== undefined) events.rateLimitRemaining({ upstream: key, remaining: Number(remaining) });
  };
  const asking = new Endpoints({ upstream: key, endpoints, breaker, clock, logger, events, onRegistryAnswer });
  const { prefix } = options;
  return new RegistryClient({ key, prefix, endpoints, asking, breaker, connections, bandwidth, isOffline, clock });
}

/** How to get from here to one endpoint. */
export function wayTo(url: URL, all: readonly URL[], options: UpstreamOptions): PoolSenderOptions {
  const { key, clock, events, realms, allowHosts, transport = {} } = options;
  const { classifyAddress, lookup, ...limits } = { ...defaults, ...transport };
  const policy = new AddressPolicy({
    home: url,
    endpoints: all,
    allowHosts,
    realms,
    ...(classifyAddress !== undefined && { classify: classifyAddress }),
    ...(lookup !== undefined && { lookup }),
  });
  const tlsPlace = (place: URL): TlsPlace => {
    if (all.some((endpoint) => isSameOrigin(endpoint, place))) return 'endpoint';
    return hostMatches(allowHosts, place) || originMatches(realms, url, place) ? 'listed' : 'elsewhere';
  };
  return {
    ...limits,
    upstream: key,
    clock,
    policy,
    tls: new TlsSettings(options.tls),
    tlsPlace,
    proxyFor: proxyChooser(options.proxy, options.proxyEnvironment),
    onBytes: (bytes: number) => events.upstreamBytes({ upstream: key, bytes }),
  };
}

export function createEndpoint(url: URL, all: readonly URL[], options: UpstreamOptions): Endpoint {
  const { key, clock, events, realms } = options;
  const way = wayTo(url, all, options);
  const sender = observed(new LineSender({ ...way, direct: new PoolSender(way) }), key, clock, events);
  const auth = { upstream: key, sender, endpoints: all, realms, events, clock };
  return {
    name: `${url.origin}${trimmedEnd(url.pathname, '/')}`,
    url,
    sender,
    authorizer: new Authorizer({ ...auth, credentials: options.credentials }),
    anonymous: new Authorizer({ ...auth, credentials: undefined }),
    refusesBlobHead: false,
    isSibling: (place) => all.some((endpoint) => isSameOrigin(endpoint, place)),
    mayDowngrade: (place) => way.policy.isConfigured(place),
  };
}
