/**
 * Where an answer with a Location leads, and as what we go there. Decided by hand: what may follow us (nothing but the
 * range and what we accept) and what may not (credentials) is different from what any HTTP library does.
 */
import { parseRepository, type Repository } from '../../oci/reference.ts';
import { parseV2Request } from '../../oci/v2-request.ts';
import { targetOf } from '../network/location.ts';
import { isSameOrigin, withoutSecrets } from '../network/origin.ts';

/** Go's default, which all container clients have. */
export const maxRedirects = 10;

const maxLocationLength = 32 * 1024;

/** Where a walk is: what `url` says about the path and query is for messages, and `target` is what is sent. */
export interface Place {
  readonly url: URL;
  readonly target: string;
}

export type Hop =
  /** The same origin: whoever we are there, we stay. */
  | { readonly kind: 'same'; readonly place: Place }
  /**
   * Another registry, or another repository of the same: authentication starts anew, as a client of `registry` that reads
   * `repository`.
   */
  | { readonly kind: 'registry'; readonly place: Place; readonly registry: URL; readonly repository: Repository }
  /** Storage or a CDN: without any authorization, since the URL itself grants the right. */
  | { readonly kind: 'elsewhere'; readonly place: Place }
  | { readonly kind: 'refused'; readonly reason: string };

export interface HopRules {
  /** Whether plain http may follow https at this place; configuration has to name it for that. */
  readonly mayDowngrade: (url: URL) => boolean;
  /** What was asked for, below which path: undefined where no credential is shown anyway. */
  readonly asked?: { readonly repository: Repository; readonly below: string };
}

export function placeOf(url: URL): Place {
  return { url, target: `${url.pathname}${url.search}` };
}

export function isRedirect(status: number): boolean {
  return status === 301 || status === 302 || status === 303 || status === 307 || status === 308;
}

export function nextHop(from: Place, location: string | undefined, { mayDowngrade, asked }: HopRules): Hop {
  if (location === undefined || location === '') return refused('no Location');
  if (location.length > maxLocationLength) return refused('a Location of more than 32 KiB');
  // Whatever is sent of the rest: this alone says where to.
  const url = URL.parse(location, from.url);
  if (url === null) return refused('a Location that is no URL');
  if (url.protocol !== 'https:' && url.protocol !== 'http:') return refused(`the scheme ${url.protocol}`);
  if (url.username !== '' || url.password !== '') return refused('user info in the Location');
  url.hash = '';
  const place = { url, target: targetOf(location, from.target) ?? placeOf(url).target };
  if (isSameOrigin(from.url, url)) {
    const repository = asked && (repositoryIn(place.target, asked.below) ?? repositoryIn(place.target, ''));
    if (repository === undefined || repository === asked?.repository) return { kind: 'same', place };
    return { kind: 'registry', place, registry: new URL(url.origin), repository };
  }
  if (from.url.protocol === 'https:' && url.protocol === 'http:' && !mayDowngrade(url)) {
    return refused(`plain http after https: ${withoutSecrets(url)}`);
  }
  const repository = repositoryIn(place.target, '');
  if (repository === undefined) return { kind: 'elsewhere', place };
  return { kind: 'registry', place, registry: new URL(url.origin), repository };
}

/** The repository that a path of the distribution API is about, however it is written; undefined for every other path. */
function repositoryIn(target: string, below: string): Repository | undefined {
  const [path = ''] = target.split('?', 1);
  if (!path.startsWith(below)) return undefined;
  // As a parser of URLs reads it, and as servers do that decode first, each of them where one stands before another.
  const read = URL.parse(decoded(path.slice(below.length)), 'http://registry/')?.pathname ?? '';
  const request = parseV2Request('GET', read);
  return 'name' in request && request.name !== undefined ? parseRepository(request.name) : undefined;
}

function decoded(path: string, times = 4): string {
  try {
    const once = decodeURIComponent(path);
    return once === path || times === 1 ? once : decoded(once, times - 1);
  } catch {
    return path;
  }
}

function refused(reason: string): Hop {
  return { kind: 'refused', reason };
}
