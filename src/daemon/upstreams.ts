/** Upstreams as the configuration describes them: the way there, the credentials for it, and the operator's rules. */
import type { UpstreamPolicy } from '../cache/contract/upstream-policy.ts';
import type { Config, UpstreamConfig } from '../config/values/config.ts';
import { tagMatcher } from '../config/values/tag-matcher.ts';
import type { Clock } from '../lib/clock.ts';
import { type Logger, silentLogger } from '../lib/log.ts';
import { createUpstream, type UpstreamOptions } from '../upstream/create.ts';
import { CredentialHelpers } from '../upstream/credentials/helper.ts';
import type { LegacyUpstream } from '../store/recovery/legacy.ts';
import { originOf } from '../store/contract/origin.ts';
import { configuredCredential, placeOfConfigured } from '../upstream/credentials/configured.ts';
import { CredentialStore, storedPlace } from '../upstream/credentials/stored.ts';
import { certificatePlace, type CredentialSource, firstOf } from '../upstream/credentials/credentials.ts';
import { createProbes, type EndpointProbe } from '../upstream/try-endpoint.ts';
import { PublicUpstream } from '../upstream/public-upstream.ts';
import type { Upstream, UpstreamEvents } from '../upstream/contract/upstream.ts';

export interface UpstreamDeps {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly events: UpstreamEvents;
}

export interface Upstreams {
  /** By key. */
  readonly policies: ReadonlyMap<string, UpstreamPolicy>;
  /** What other tools store, and may change or take away. */
  readonly stored: CredentialStore;
}

/** Dials nothing; reads the credential files that exist, and only logs what is wrong with them. */
export async function createUpstreams(config: Config, deps: UpstreamDeps): Promise<Upstreams> {
  const { optionsOf, stored } = await prepare(config, deps);
  const policies = new Map(
    config.upstreams.map((upstream) => {
      const { key, access, tagTtlMs, staleIfErrorMs, headTimeoutMs, immutableTags } = upstream;
      const isImmutableTag = tagMatcher(immutableTags);
      const made = upstreamFor(optionsOf(upstream), access);
      return [key, { upstream: made, access, tagTtlMs, staleIfErrorMs, headTimeoutMs, isImmutableTag }];
    }),
  );
  return { policies, stored };
}

/** On whose word links rest that an earlier version made, as far as configuration tells. */
export function legacyUpstreams(config: Config): (key: string) => LegacyUpstream | undefined {
  const { inline, files } = config.credentials;
  const stored = inline !== undefined || files.length > 0 ? storedPlace : undefined;
  return (key) => {
    const upstream = config.upstreams.find((each) => each.key === key);
    if (upstream === undefined) return undefined;
    const { auth, tls, access } = upstream;
    const certificate = tls.certFile === undefined ? undefined : certificatePlace;
    const place = auth === undefined ? (stored ?? certificate) : placeOfConfigured(auth);
    return { origin: originOf(place), isAll: access === 'all' };
  };
}

/** What `access` lets weir show: with `public`, what strangers get. */
export function upstreamFor(options: UpstreamOptions, access: UpstreamPolicy['access']): Upstream {
  const member = createUpstream(options);
  if (access === 'all') return member;
  const { logger, events } = options;
  return new PublicUpstream({
    member,
    stranger: createUpstream({ ...options, credentials: undefined }),
    logger,
    events,
  });
}

const nothing = (): void => undefined;
const nobody: UpstreamEvents = {
  upstreamRequest: nothing,
  upstreamBytes: nothing,
  rateLimitRemaining: nothing,
  breakerChanged: nothing,
  upstreamRejected: nothing,
};

/** The endpoints of each upstream, by its key, to be looked at one by one. Dials nothing, and reports to nobody. */
export async function createUpstreamProbes(
  config: Config,
  clock: Clock,
): Promise<ReadonlyMap<string, readonly EndpointProbe[]>> {
  const { optionsOf } = await prepare(config, { clock, logger: silentLogger, events: nobody });
  return new Map(config.upstreams.map((upstream) => [upstream.key, createProbes(optionsOf(upstream))]));
}

interface Prepared {
  readonly optionsOf: (upstream: UpstreamConfig) => UpstreamOptions;
  readonly stored: CredentialStore;
}

async function prepare(config: Config, deps: UpstreamDeps): Promise<Prepared> {
  const helpers = new CredentialHelpers({ clock: deps.clock });
  const { inline, files } = config.credentials;
  const store = new CredentialStore({
    ...(inline === undefined ? {} : { inline: { name: 'DOCKER_AUTH_CONFIG', text: inline } }),
    files,
    helpers,
  });
  try {
    await store.load();
  } catch (error) {
    // Some tool's file that may not even matter here; a request that needs it will say so.
    deps.logger.error({ err: error }, 'stored registry credentials cannot be read');
  }
  return { optionsOf: (upstream) => optionsFor(upstream, config, deps, store, helpers), stored: store };
}

function optionsFor(
  upstream: UpstreamConfig,
  config: Config,
  { clock, logger, events }: UpstreamDeps,
  store: CredentialStore,
  helpers: CredentialHelpers,
): UpstreamOptions {
  const { key, endpoints, auth } = upstream;
  const urls = endpoints.map((text) => new URL(text));
  const sources: CredentialSource[] = auth === undefined ? [] : [configuredCredential(auth, urls, helpers)];
  if (auth === undefined) sources.push(store);
  return {
    key,
    endpoints,
    prefix: upstream.prefix,
    credentials: firstOf(sources),
    realms: upstream.realms,
    allowHosts: upstream.allowHosts,
    tls: upstream.tls,
    proxy: upstream.proxy,
    proxyEnvironment: config.proxy,
    connections: upstream.connections,
    headTimeoutMs: upstream.headTimeoutMs,
    bandwidth: upstream.bandwidth,
    isOffline: config.offline,
    clock,
    logger,
    events,
  };
}
