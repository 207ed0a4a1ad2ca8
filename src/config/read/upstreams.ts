/** Which upstreams there are: the user's, the built-in ones, the one that WEIR_DEFAULT_UPSTREAM names. */
import { builtinUpstreams, hubAliases, hubKey, isHubName } from '../../oci/known-registries.ts';
import { keyProblem, parseRegistryUrl } from '../schema/addresses.ts';
import { isPlain, type Plain } from '../schema/known-keys.ts';

/** The base URL of an upstream that has none written. */
export function defaultUrl(key: string): string {
  return key === hubKey ? 'https://registry-1.docker.io' : `https://${key}`;
}

/** Adds the built-in upstreams after the written ones, without touching those of the same name. */
export function withBuiltins(written: Plain): Plain {
  const all: Plain = { ...written };
  for (const key of builtinUpstreams) if (!Object.hasOwn(all, key)) all[key] = {};
  return all;
}

/**
 * Makes the upstream at `address` (a URL) the default, adding it under its host where it is missing. What the entry
 * says otherwise stays. Answers the key, or what is wrong.
 */
export function withDefaultUpstream(
  written: Plain,
  address: string,
): { readonly upstreams: Plain; readonly key: string } | { readonly problem: string } {
  const url = parseRegistryUrl(address);
  if ('problem' in url) return url;
  const { host } = new URL(url.value);
  const key = isHubName(host) ? hubKey : host;
  if (keyProblem(key) !== undefined) return { problem: 'the host cannot be the name of an upstream' };
  const found = written[key];
  const entry = isPlain(found) ? found : {};
  const isNamedOnly = key === hubKey && hubAliasUrls.has(url.value);
  const own = typeof entry['url'] === 'string' ? parseRegistryUrl(entry['url']) : undefined;
  if (!isNamedOnly && own !== undefined && 'value' in own && own.value !== url.value) {
    return { problem: `upstreams.${key} has another url, ${own.value}` };
  }
  const others = Object.entries(written).map(([name, other]) => [name, withoutDefault(other)] as const);
  const chosen = isNamedOnly ? { ...entry, default: true } : { ...entry, url: url.value, default: true };
  return { upstreams: { ...Object.fromEntries(others), [key]: chosen }, key };
}

const hubAliasUrls: ReadonlySet<string> = new Set([hubKey, ...hubAliases].map((host) => `https://${host}`));

function withoutDefault(entry: unknown): unknown {
  if (!isPlain(entry)) return entry;
  const { default: _, ...rest } = entry;
  return rest;
}
