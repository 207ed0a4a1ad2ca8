/**
 * Where a credential may go besides the registry itself. The realm of a challenge is the upstream's word, so an
 * impostor's as well: distribution compares registrable domains (realmAllowed), oras and ggcr the whole URL. weir takes
 * the registry's own origin, what is written down here, and what the operator lists in `upstreams.X.realms`. A list of
 * public suffixes would add a dependency, and trust in whoever else gets a name under the same domain.
 */
import { isSameOrigin, originMatches } from '../network/origin.ts';

export type RealmVerdict =
  /** Not to be used at all: no URL, another scheme, user info. */
  | { readonly kind: 'unusable'; readonly reason: string }
  /** May be asked for an anonymous token; the sender's address policy still applies. */
  | { readonly kind: 'anonymous'; readonly url: URL; readonly reason: string }
  | { readonly kind: 'trusted'; readonly url: URL };

const maxRealmLength = 4096;

/** Token servers on another host than their registry; https on the default port both ways. */
const knownRealms: ReadonlyMap<string, readonly string[]> = new Map([
  ['docker.io', ['auth.docker.io']],
  ['index.docker.io', ['auth.docker.io']],
  ['registry-1.docker.io', ['auth.docker.io']],
  ['registry.gitlab.com', ['gitlab.com']],
  ['docker.elastic.co', ['docker-auth.elastic.co']],
  ['registry.digitalocean.com', ['api.digitalocean.com']],
]);

/** Alibaba: `registry[-intl].<region>.aliyuncs.com` and `<name>.<region>[.personal].cr.aliyuncs.com` share token servers. */
const alibabaRegistry =
  /^(?:registry(?:-intl)?\.(?<shared>[a-z]{2}-[a-z]+(?:-[0-9])?)|[a-z0-9-]+\.(?<own>[a-z]{2}-[a-z]+(?:-[0-9])?)(?:\.personal)?\.cr)\.aliyuncs\.com$/;

/**
 * What may be done with the realm that `registry` names. `realms`: what the operator trusts, origins
 * (`https://host:port`) or `host[:port]` with the scheme of the registry.
 */
export function judgeRealm(realm: string, registry: URL, realms: readonly string[]): RealmVerdict {
  const url = realm.length <= maxRealmLength && URL.canParse(realm) ? new URL(realm) : undefined;
  if (url === undefined) return { kind: 'unusable', reason: 'not a URL' };
  if (url.protocol !== 'https:' && url.protocol !== 'http:')
    return { kind: 'unusable', reason: `scheme ${url.protocol}` };
  if (url.username !== '' || url.password !== '') return { kind: 'unusable', reason: 'user info in the URL' };
  url.hash = '';
  const isTrusted = isSameOrigin(url, registry) || originMatches(realms, registry, url) || isKnown(url, registry);
  if (isTrusted) return { kind: 'trusted', url };
  return { kind: 'anonymous', url, reason: `${url.origin} is not a realm of ${registry.origin}` };
}

function isKnown(url: URL, registry: URL): boolean {
  // A host with a port is a host of somebody's own, whatever its name.
  if (url.port !== '' || registry.port !== '') return false;
  if (url.protocol !== 'https:') return false;
  // An upgrade to TLS on the same name gives nobody more than plain http does.
  if (url.hostname === registry.hostname) return true;
  if (registry.protocol !== 'https:') return false;
  if (knownRealms.get(registry.hostname)?.includes(url.hostname) === true) return true;
  const alibaba = alibabaRegistry.exec(registry.hostname)?.groups;
  const region = alibaba?.['shared'] ?? alibaba?.['own'];
  if (region === undefined) return false;
  return url.hostname === 'dockerauth.aliyuncs.com' || url.hostname === `dockerauth.${region}.aliyuncs.com`;
}
