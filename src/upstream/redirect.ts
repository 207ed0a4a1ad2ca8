/**
 * Where an answer with a Location leads, and as what we go there. Decided by hand: what may follow us (nothing but the
 * range and what we accept) and what may not (credentials) is different from what any HTTP library does.
 */
import { parseRepository, type Repository } from '../oci/reference.ts';
import { parseV2Request } from '../oci/v2-request.ts';
import { isSameOrigin, withoutSecrets } from './origin.ts';

/** Go's default, which all container clients have. */
export const maxRedirects = 10;

const maxLocationLength = 32 * 1024;

export type Hop =
  /** The same origin: whoever we are there, we stay. */
  | { readonly kind: 'same'; readonly url: URL }
  /** Another registry: authentication starts anew, as a client of `registry` that reads `repository`. */
  | { readonly kind: 'registry'; readonly url: URL; readonly registry: URL; readonly repository: Repository }
  /** Storage or a CDN: without any authorization, since the URL itself grants the right. */
  | { readonly kind: 'elsewhere'; readonly url: URL }
  | { readonly kind: 'refused'; readonly reason: string };

export function isRedirect(status: number): boolean {
  return status === 301 || status === 302 || status === 303 || status === 307 || status === 308;
}

/** `mayDowngrade`: whether plain http may follow https at this place; configuration has to name it for that. */
export function nextHop(from: URL, location: string | undefined, mayDowngrade: (url: URL) => boolean): Hop {
  if (location === undefined || location === '') return refused('no Location');
  if (location.length > maxLocationLength) return refused('a Location of more than 32 KiB');
  const url = URL.parse(location, from);
  if (url === null) return refused('a Location that is no URL');
  if (url.protocol !== 'https:' && url.protocol !== 'http:') return refused(`the scheme ${url.protocol}`);
  if (url.username !== '' || url.password !== '') return refused('user info in the Location');
  url.hash = '';
  if (isSameOrigin(from, url)) return { kind: 'same', url };
  if (from.protocol === 'https:' && url.protocol === 'http:' && !mayDowngrade(url)) {
    return refused(`plain http after https: ${withoutSecrets(url)}`);
  }
  const repository = repositoryIn(url.pathname);
  if (repository === undefined) return { kind: 'elsewhere', url };
  return { kind: 'registry', url, registry: new URL(url.origin), repository };
}

/** The repository that a path of the distribution API is about; undefined for every other path. */
function repositoryIn(path: string): Repository | undefined {
  const request = parseV2Request('GET', path);
  return 'name' in request && request.name !== undefined ? parseRepository(request.name) : undefined;
}

function refused(reason: string): Hop {
  return { kind: 'refused', reason };
}
