/** Lists of referrers (distribution-spec, "Listing Referrers"): reading the upstream's pages, cutting weir's own. */
import { isDigestGrammar } from './digest.ts';
import { field, isJsonObject, textField } from '../lib/json/json.ts';
import { isIndexType, mediaTypes, stripParameters } from './media-type.ts';
import { parseLongJson } from '../lib/json/long.ts';

/**
 * An index, its descriptors, their annotations and platforms, with room to spare: members of all descriptors together are
 * those of 8 MiB of the shortest ones that have all that descriptors have.
 */
export const referrersBounds = { depth: 16, fields: 500_000, items: 500_000 };
/** What one answer holds at most; clients read no index beyond 4 MiB. */
const maxPageEntries = 1000;
const maxPageCharacters = 2 * 1024 * 1024;

/** A descriptor as the upstream gave it, with what weir needs to know of it. */
export interface Referrer {
  readonly digest: string;
  /** Undefined where the upstream says none. */
  readonly artifactType: string | undefined;
  /** It has one all the same: of an image manifest, the type of its config counts (distribution-spec, "Listing Referrers"). */
  readonly isUntold: boolean;
  readonly descriptor: unknown;
}

/**
 * The descriptors of an index, all of them; undefined when this is no index, or one with an entry that cannot be read:
 * a list without it would hide a signature. An index is what its Content-Type calls so, or what calls itself so where
 * that says something else: clients take a list of any other type for a missing API.
 */
export async function readReferrers(
  bytes: Uint8Array,
  contentType: string | undefined,
): Promise<readonly Referrer[] | undefined> {
  const document = await parseLongJson(bytes, ['manifests'], referrersBounds);
  if (!isJsonObject(document)) return undefined;
  const types = [stripParameters(contentType ?? '').toLowerCase(), textField(document, 'mediaType')];
  if (!types.includes(mediaTypes.ociIndex)) return undefined;
  const manifests = field(document, 'manifests');
  // Go writes null for an empty list.
  if (manifests === null) return [];
  return Array.isArray(manifests) ? referrersOf(manifests) : undefined;
}

/** Undefined when one of them cannot be told from others. */
export function referrersOf(descriptors: readonly unknown[]): readonly Referrer[] | undefined {
  const referrers: Referrer[] = [];
  for (const descriptor of descriptors) {
    const digest = isJsonObject(descriptor) ? textField(descriptor, 'digest') : undefined;
    if (!isJsonObject(descriptor) || digest === undefined || !isDigestGrammar(digest)) return undefined;
    const artifactType = textField(descriptor, 'artifactType') || undefined;
    const isUntold = artifactType === undefined && !isIndexType(textField(descriptor, 'mediaType') ?? '');
    referrers.push({ digest, artifactType, isUntold, descriptor });
  }
  return referrers;
}

export interface ReferrersPage {
  readonly manifests: readonly unknown[];
  readonly next: { readonly n: number; readonly last: string } | undefined;
  /** Only those of the artifactType that was asked for are listed. */
  readonly isFiltered: boolean;
}

/**
 * One page of those with this artifactType (all when undefined), after the digest `last`. When `last` is not among them
 * any more, the list has changed since: the page starts at the beginning, so that nothing is left out. Where an upstream
 * has kept the type of one to itself, nothing is filtered and the client has to.
 */
export function cutReferrers(
  all: readonly Referrer[],
  query: {
    readonly artifactType: string | undefined;
    readonly n: number | undefined;
    readonly last: string | undefined;
  },
): ReferrersPage {
  const { artifactType, last } = query;
  const isFiltered = artifactType !== undefined && !all.some(({ isUntold }) => isUntold);
  const matching = isFiltered ? all.filter((referrer) => referrer.artifactType === artifactType) : all;
  const from = matching.findIndex(({ digest }) => digest === last) + 1;
  // A page of none would look like a list of none.
  const limit = Math.min(query.n || maxPageEntries, maxPageEntries);
  let end = from;
  for (let room = maxPageCharacters; end < matching.length && end - from < limit; end++) {
    room -= JSON.stringify(matching[end]?.descriptor).length;
    if (room < 0 && end > from) break;
  }
  const page = matching.slice(from, end);
  const final = page.at(-1);
  return {
    manifests: page.map(({ descriptor }) => descriptor),
    next: final === undefined || end >= matching.length ? undefined : { n: limit, last: final.digest },
    isFiltered,
  };
}
