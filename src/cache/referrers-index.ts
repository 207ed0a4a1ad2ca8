/** Lists of referrers (distribution-spec, "Listing Referrers"): reading the upstream's pages, cutting weir's own. */
import { parseDescriptor } from '../oci/descriptor.ts';
import { field, isJsonObject, jsonDepth } from '../oci/json.ts';

/** An index, its descriptors, their annotations and platforms, with room to spare. */
const maxDepth = 16;
/** What one answer holds at most; clients read no index beyond 4 MiB. */
const maxPageEntries = 1000;
const maxPageCharacters = 2 * 1024 * 1024;

/** A descriptor as the upstream gave it, with what weir needs to know of it. */
export interface Referrer {
  readonly digest: string;
  readonly artifactType: string | undefined;
  readonly descriptor: unknown;
}

/** The descriptors of an index, without those that cannot be read; undefined when this is no index. */
export function readReferrers(bytes: Uint8Array): readonly Referrer[] | undefined {
  if (jsonDepth(bytes) > maxDepth) return undefined;
  let document: unknown;
  try {
    document = JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return undefined;
  }
  const manifests = isJsonObject(document) ? field(document, 'manifests') : undefined;
  // Go writes null for an empty list.
  if (manifests === null) return [];
  return Array.isArray(manifests) ? referrersOf(manifests) : undefined;
}

export function referrersOf(descriptors: readonly unknown[]): readonly Referrer[] {
  return descriptors.flatMap((descriptor) => {
    const known = parseDescriptor(descriptor);
    return known === undefined ? [] : [{ digest: known.digest, artifactType: known.artifactType, descriptor }];
  });
}

export interface ReferrersPage {
  readonly manifests: readonly unknown[];
  readonly next: { readonly n: number; readonly last: string } | undefined;
}

/**
 * One page of those with this artifactType (all when undefined), after the digest `last`. When `last` is not among them
 * any more, the list has changed since: the page starts at the beginning, so that nothing is left out.
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
  const matching = artifactType === undefined ? all : all.filter((referrer) => referrer.artifactType === artifactType);
  const from = matching.findIndex(({ digest }) => digest === last) + 1;
  const limit = Math.min(query.n ?? maxPageEntries, maxPageEntries);
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
  };
}
