/** One page of tags/list (distribution-spec, "Listing Tags"): what upstreams send, and what a client gets of it. */
import { isJsonObject, field } from '../lib/json/json.ts';
import { parseTag, type Tag } from './reference.ts';
import { parseLongJson } from '../lib/json/long.ts';

/** Tags in one page. Upstreams that ignore `n` send all at once. */
const maxTags = 200_000;
/** `{name, tags}`, with some levels and items to spare for fields of others. */
export const tagsBounds = { depth: 8, items: maxTags + 1000 };
/** What a client gets at once, at most. */
export const maxPageSize = 10_000;

export interface TagsPage {
  readonly tags: readonly Tag[];
  readonly next: { readonly n: number | undefined; readonly last: string } | undefined;
}

/** The tags of a page in its order, without those that are no tags; undefined when this is no page of tags. */
export async function readTags(bytes: Uint8Array): Promise<readonly Tag[] | undefined> {
  return tagsOf(await parseLongJson(bytes, ['tags'], tagsBounds));
}

/** The same, of a document that was parsed. */
export function tagsOf(document: unknown): readonly Tag[] | undefined {
  if (!isJsonObject(document)) return undefined;
  const tags = field(document, 'tags');
  // Go writes null for an empty list.
  if (tags === null) return [];
  if (!Array.isArray(tags) || tags.length > maxTags) return undefined;
  return tags.flatMap((tag: unknown) => (typeof tag === 'string' ? (parseTag(tag) ?? []) : []));
}

/**
 * The page that the client asked for, out of what the upstream sent. An upstream that ignores `last` or `n` must neither
 * send a client round in circles nor give it more than it asked for.
 *
 * `nextTarget` is the target of the upstream's link to the next page. `continuation` repeats it where `last` alone does
 * not lead there: some registries go on by a token of their own.
 */
export function cutPage(
  sent: readonly Tag[],
  asked: { readonly n: number | undefined; readonly last: string | undefined },
  nextTarget: string | undefined,
): TagsPage & { readonly continuation?: string } {
  const tags = sent.slice(sent.findIndex((tag) => tag === asked.last) + 1);
  const { n } = asked;
  if (n !== undefined && tags.length > n) {
    const cut = tags.slice(0, n);
    const last = cut.at(-1);
    return { tags: cut, next: last === undefined ? undefined : { n, last } };
  }
  if (nextTarget === undefined) return { tags, next: undefined };
  const query = queryOf(nextTarget);
  const plainLast = query.get('last');
  const last = plainLast ?? tags.at(-1);
  if (last === undefined || last === '' || last === asked.last) return { tags, next: undefined };
  const next = { n: pageSize(query.get('n')) ?? n, last };
  return plainLast === null ? { tags, next, continuation: nextTarget } : { tags, next };
}

function queryOf(target: string): URLSearchParams {
  const mark = target.indexOf('?');
  return new URLSearchParams(mark === -1 ? '' : target.slice(mark + 1));
}

function pageSize(text: string | null): number | undefined {
  const n = Number(text);
  return text !== null && /^[0-9]{1,9}$/.test(text) && n > 0 ? n : undefined;
}
