/** Upstreams as the configuration describes them: the way there, the credentials for it, and the operator's rules. */
import type { UpstreamPolicy } from './cache/policy.ts';
import type { Config, UpstreamConfig } from './config/config.ts';
import { tagMatcher } from './config/tag-matcher.ts';
import type { Clock } from './lib/clock.ts';
import type { Logger } from './lib/log.ts';
import { createUpstream } from './upstream/create-upstream.ts';
import { CredentialHelpers } from './upstream/credential-helper.ts';
import { configuredCredential } from './upstream/credentials-config.ts';
import { CredentialStore } from './upstream/credentials-store.ts';
import { type CredentialSource, firstOf } from './upstream/credentials.ts';
import type { UpstreamEvents } from './upstream/upstream.ts';

export interface UpstreamDeps {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly events: UpstreamEvents;
}

/** By key. Dials nothing; reads the credential files that exist, and only logs what is wrong with them. */
export async function createUpstreams(
  config: Config,
  deps: UpstreamDeps,
): Promise<ReadonlyMap<string, UpstreamPolicy>> {
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
  return new Map(
    config.upstreams.map((upstream) => [upstream.key, createPolicy(upstream, config, deps, store, helpers)]),
  );
}

function createPolicy(
  upstream: UpstreamConfig,
  config: Config,
  { clock, logger, events }: UpstreamDeps,
  store: CredentialStore,
  helpers: CredentialHelpers,
): UpstreamPolicy {
  const { key, endpoints, auth, access, tagTtlMs, staleIfErrorMs } = upstream;
  const urls = endpoints.map((text) => new URL(text));
  const sources: CredentialSource[] = auth === undefined ? [] : [configuredCredential(auth, urls, helpers)];
  if (auth === undefined) sources.push(store);
  return {
    upstream: createUpstream({
      key,
      endpoints,
      credentials: firstOf(sources),
      realms: upstream.realms,
      allowHosts: upstream.allowHosts,
      tls: upstream.tls,
      proxy: upstream.proxy,
      proxyEnvironment: config.proxy,
      connections: upstream.connections,
      bandwidth: upstream.bandwidth,
      isOffline: config.offline,
      clock,
      logger,
      events,
    }),
    access,
    tagTtlMs,
    staleIfErrorMs,
    isImmutableTag: tagMatcher(upstream.immutableTags),
  };
}
