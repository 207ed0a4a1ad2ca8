/** Settings that passed every check, as the Config that the rest of weir reads. */
import type { Config, CredentialSources, SecretSource, UpstreamAuth, UpstreamConfig } from '../values/config.ts';
import { findCredentials, findProxies } from './environment.ts';
import { absolute, type Place } from './files.ts';
import type { Settings, UpstreamSettings } from '../schema/schema.ts';
import { Secret } from '../../lib/secret.ts';
import { hubKey, isHubName } from '../../oci/known-registries.ts';
import { defaultUrl } from './upstreams.ts';

/** `builtin`: keys of upstreams that nobody wrote. */
export function resolveConfig(settings: Settings, builtin: ReadonlySet<string>, place: Place): Config {
  const { admin, cache, fill, serve, tls } = settings;
  const upstreams = Object.entries(settings.upstreams);
  const marked = upstreams.find(([, upstream]) => upstream.default === true)?.[0];
  const isHubRefused = settings.upstreams[hubKey]?.default === false;
  const defaultKey = marked ?? (isHubRefused ? undefined : hubKey);
  return deepFreeze<Config>({
    listen: settings.listen,
    trustedProxies: settings.trustedProxies,
    tls: tls === undefined ? undefined : { certFile: absolute(tls.cert, place), keyFile: absolute(tls.key, place) },
    admin: { listen: admin.listen, tokenFile: absoluteIf(admin.tokenFile, place), hosts: admin.hosts },
    cache: { root: absolute(cache.root, place), maxSizeBytes: cache.maxSize, minFree: cache.minFree },
    serve: { threads: serve.threads, keepAliveMs: serve.keepAlive },
    fill: { onAbandon: fill.onAbandon, connections: fill.connections, partialTtlMs: fill.partialTtl },
    prefetch: settings.prefetch,
    offline: settings.offline,
    log: settings.log,
    upstreams: upstreams.map(([key, upstream]) => ({
      ...resolveUpstream(key, upstream, settings, place),
      isDefault: key === defaultKey,
      isBuiltin: builtin.has(key),
    })),
    credentials: resolveCredentials(settings.credentials.dockerConfig, place),
    proxy: findProxies(place.env).proxy,
  });
}

function resolveUpstream(
  key: string,
  upstream: UpstreamSettings,
  { tags }: Settings,
  place: Place,
): Omit<UpstreamConfig, 'isDefault' | 'isBuiltin'> {
  const { tls, proxy } = upstream;
  const url = upstream.url ?? defaultUrl(key);
  return {
    key,
    hosts: upstream.hosts,
    isHub: isHubName(key) || isHubName(new URL(url).hostname),
    endpoints: [...new Set([url, ...upstream.endpoints])],
    prefix: upstream.prefix,
    access: upstream.access,
    auth: resolveAuth(upstream, place),
    tagTtlMs: upstream.tags.ttl ?? tags.ttl,
    staleIfErrorMs: upstream.tags.staleIfError ?? tags.staleIfError,
    immutableTags: upstream.immutableTags,
    realms: upstream.realms,
    allowHosts: upstream.allowHosts,
    tls: {
      caFile: absoluteIf(tls.ca, place),
      certFile: absoluteIf(tls.cert, place),
      keyFile: absoluteIf(tls.key, place),
      insecureSkipVerify: tls.insecureSkipVerify,
    },
    proxy: proxy === 'environment' || proxy === 'direct' ? { kind: proxy } : { kind: 'url', url: new Secret(proxy) },
    connections: upstream.connections,
    headTimeoutMs: upstream.headTimeout,
    bandwidth: upstream.bandwidth,
  };
}

function resolveAuth({ auth }: UpstreamSettings, place: Place): UpstreamAuth | undefined {
  if (auth === undefined) return undefined;
  if (auth.helper !== undefined) return { kind: 'helper', name: auth.helper };
  const token = secretSource(auth.identityTokenFile, auth.identityTokenEnv, place);
  if (token !== undefined) return { kind: 'identityToken', token };
  const password = secretSource(auth.passwordFile, auth.passwordEnv, place);
  if (auth.username === undefined || password === undefined) throw new TypeError('checked credentials are complete');
  return { kind: 'basic', username: auth.username, password };
}

function secretSource(file: string | undefined, variable: string | undefined, place: Place): SecretSource | undefined {
  if (file !== undefined) return { kind: 'file', path: absolute(file, place) };
  return variable === undefined ? undefined : { kind: 'value', secret: new Secret(place.env[variable] ?? '') };
}

function resolveCredentials(dockerConfig: string, place: Place): CredentialSources {
  if (dockerConfig === 'off') return { inline: undefined, files: [] };
  if (dockerConfig !== 'auto') return { inline: undefined, files: [absolute(dockerConfig, place)] };
  const found = findCredentials(place.env);
  return { inline: found.inline, files: found.files.map((file) => absolute(file, place)) };
}

function absoluteIf(path: string | undefined, place: Place): string | undefined {
  return path === undefined ? undefined : absolute(path, place);
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const item of Object.values(value)) deepFreeze(item);
  }
  return value;
}
