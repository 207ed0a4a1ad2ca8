/** Makes an Upstream of plain options: the one place that knows all parts of this room. */
import type { lookup } from 'node:dns';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/log.ts';
import type { AddressClass } from './network/address-class.ts';
import { AddressPolicy } from './network/address-policy.ts';
import { Authorizer } from './auth/authorizer.ts';
import { certificatePlace, type CredentialSource } from './credentials/credentials.ts';
import type { Endpoint } from './requests/endpoint.ts';
import { Endpoints } from './requests/failover.ts';
import { firstOf } from '../headers/content-length.ts';
import { LenientSender } from './exchange/lenient-sender.ts';
import { WorkerSender } from './worker/sender.ts';
import { observed } from './exchange/observed.ts';
import { hostMatches, isSameOrigin, originMatches } from './network/origin.ts';
import { PoolSender, type PoolSenderOptions } from './exchange/pool-sender.ts';
import { Origins, watched } from './health/watched-sender.ts';
import { proxyChooser, type ProxyChoice, type ProxyEnvironment } from './network/proxy.ts';
import { RegistryClient } from './registry-client.ts';
import type { IncomingResponse } from './exchange/sender.ts';
import type { StallLimits } from './contract/stall-watch.ts';
import { type TlsFiles, type TlsPlace, TlsSettings } from './network/tls.ts';
import type { Upstream, UpstreamEvents } from './contract/upstream.ts';
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
  /** For the head of an answer, in milliseconds. Default 60 s. */
  readonly headTimeoutMs?: number;
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

const defaultHeadTimeoutMs = 60_000;

/** Throws TypeError for endpoints or proxies that are no URLs. Dials nothing yet. */
export function createUpstream(options: UpstreamOptions): Upstream {
  const { key, clock, events, logger, connections, bandwidth, isOffline } = options;
  const urls = options.endpoints.map((text) => new URL(text));
  const homes = new Set(urls.map(({ origin }) => origin));
  let isDown = false;
  const origins = new Origins({
    upstream: key,
    clock,
    onChange(origin, isOriginDown) {
      if (isOriginDown) logger.warn({ upstream: key, origin }, 'no answer: it is left alone for a while');
      else logger.info({ upstream: key, origin }, 'it answers again');
      const areDown = homes.has(origin) && endpoints.every(({ health }) => health.isDown);
      if (!homes.has(origin) || areDown === isDown) return;
      isDown = areDown;
      events.breakerChanged({ upstream: key, isOpen: isDown });
    },
  });
  const endpoints = urls.map((url) => createEndpoint(url, urls, options, origins));
  const onRegistryAnswer = ({ headers }: IncomingResponse): void => {
    const remaining = /^[0-9]{1,9}/.exec(firstOf(headers['ratelimit-remaining']) ?? '')?.[0];
    if (remaining !== undefined) events.rateLimitRemaining({ upstream: key, remaining: Number(remaining) });
  };
  const { headTimeoutMs = defaultHeadTimeoutMs } = options;
  const asked = { upstream: key, endpoints, headTimeoutMs, connections, clock, logger, events, onRegistryAnswer };
  const asking = new Endpoints(asked);
  const onClose = (): void => origins.close();
  const limits = { connections, bandwidth, isOffline };
  return new RegistryClient({ key, prefix: options.prefix, endpoints, asking, ...limits, clock, onClose });
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

/** `origins` undefined: whatever is asked is asked, as somebody wants who looks at this endpoint alone. */
export function createEndpoint(url: URL, all: readonly URL[], options: UpstreamOptions, origins?: Origins): Endpoint {
  const { key, clock, events, realms } = options;
  const way = wayTo(url, all, options);
  const pool = new PoolSender(way);
  const strict = observed(new WorkerSender({ ...way, direct: pool }), key, clock, events);
  const plain = new LenientSender({ strict, direct: observed(pool, key, clock, events), clock });
  const sender = origins === undefined ? plain : watched(plain, origins);
  const health = (origins ?? new Origins({ upstream: key, clock, onChange: () => undefined })).of(
    url,
    plain,
    false,
    url,
  );
  const auth = { upstream: key, sender, endpoints: all, realms, events, clock };
  return {
    name: `${url.origin}${trimmedEnd(url.pathname, '/')}`,
    url,
    sender,
    health,
    authorizer: new Authorizer({ ...auth, credentials: options.credentials }),
    anonymous: new Authorizer({ ...auth, credentials: undefined }),
    certificate: options.tls.certFile === undefined ? undefined : certificatePlace,
    refusesBlobHead: false,
    isSibling: (place) => all.some((endpoint) => isSameOrigin(endpoint, place)),
    mayDowngrade: (place) => way.policy.isConfigured(place),
  };
}
