/** tags/list, referrers and _catalog: JSON made here, under the names that the client used. */
import type { CatalogQuery, ReferrersQuery, TagsQuery } from '../../cache/contract/cache.ts';
import type { BlobView } from '../../fill/contract/blob-view.ts';
import { formatNextLink } from '../../headers/link.ts';
import type { FrontDeps } from './context.ts';
import type { Exchange } from '../request/exchange.ts';
import { sendView } from './large-answer.ts';
import { type HeaderList, jsonType, sendJson } from '../request/respond.ts';

/** Clients compare this string as it is: a parameter would make them fall back to the tag schema. */
const indexType = 'application/vnd.oci.image.index.v1+json';

/** How the client addressed the listing; links lead back the same way. */
export interface Address {
  readonly path: string;
  /** The name in the path, before routing. */
  readonly name: string;
  readonly ns: string | undefined;
}

export async function serveTags(
  deps: FrontDeps,
  exchange: Exchange,
  query: TagsQuery,
  address: Address,
): Promise<void> {
  const answer = await deps.cache.tags(query, exchange.signal);
  exchange.outcome = answer.outcome;
  // n=0 asks whether there is a list: an empty page, and no next one (distribution-spec, "Listing Tags").
  const isEmptyPage = query.n === 0;
  const headers = isEmptyPage ? [] : linkTo(address, answer.next);
  const body = { name: address.name, tags: isEmptyPage ? [] : answer.tags };
  await sendList(deps, exchange, body, { headers, items: answer.items });
}

export async function serveReferrers(
  deps: FrontDeps,
  exchange: Exchange,
  query: ReferrersQuery,
  address: Address,
): Promise<void> {
  const answer = await deps.cache.referrers(query, exchange.signal);
  exchange.outcome = answer.outcome;
  const headers: string[] = [...linkTo(address, answer.next, query.artifactType)];
  if (answer.isFiltered) headers.push('OCI-Filters-Applied', 'artifactType');
  const body = { schemaVersion: 2, mediaType: indexType, manifests: answer.manifests };
  await sendList(deps, exchange, body, { contentType: indexType, headers, items: answer.items });
}

export async function serveCatalog(
  deps: FrontDeps,
  exchange: Exchange,
  query: CatalogQuery,
  address: Omit<Address, 'name'>,
): Promise<void> {
  const answer = await deps.cache.catalog(query, exchange.signal);
  const isEmptyPage = query.n === 0;
  const headers = isEmptyPage ? [] : linkTo(address, answer.next);
  const body = { repositories: isEmptyPage ? [] : answer.repositories };
  await sendList(deps, exchange, body, { headers, items: answer.items });
}

/** `body` ends with its list, which is empty where `items` stands for it. */
async function sendList(
  deps: FrontDeps,
  exchange: Exchange,
  body: object,
  {
    items,
    contentType = jsonType,
    headers,
  }: { readonly items: BlobView | undefined; readonly contentType?: string; readonly headers: HeaderList },
): Promise<void> {
  if (items === undefined) {
    sendJson(exchange, 200, body, { contentType, headers });
    return;
  }
  const before = JSON.stringify(body).slice(0, -'[]}'.length);
  await sendView(deps, exchange, ['Content-Type', contentType, ...headers], items, { before, after: '}' });
}

function linkTo(
  { path, ns }: Omit<Address, 'name'>,
  next: { readonly n: number | undefined; readonly last: string } | undefined,
  artifactType?: string,
): HeaderList {
  if (next === undefined) return [];
  const query: [string, string][] = [];
  if (artifactType !== undefined) query.push(['artifactType', artifactType]);
  if (next.n !== undefined) query.push(['n', String(next.n)]);
  query.push(['last', next.last]);
  if (ns !== undefined) query.push(['ns', ns]);
  return ['Link', formatNextLink(path, query)];
}
