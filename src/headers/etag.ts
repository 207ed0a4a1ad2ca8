/** Conditions of a request (RFC 9110 §13), as far as they can concern content that is named by its digest. */

/** The strong entity tag of content with this digest. */
export function etagOf(digest: string): string {
  return `"${digest}"`;
}

/**
 * Whether an If-None-Match header names this content, so that 304 is the answer: a list of tags, strong or weak, or
 * `*`. Some clients send the digest without quotes, because some registries do.
 */
export function matchesEtag(header: string | undefined, digest: string): boolean {
  if (header === undefined) return false;
  return header.split(',').some((part) => {
    const tag = part.trim();
    if (tag === '*') return true;
    const opaque = tag.startsWith('W/') ? tag.slice(2) : tag;
    return opaque === digest || opaque === `"${digest}"`;
  });
}

/**
 * Whether the Range header of a request with this If-Range counts. Only a strong tag can say so (§13.1.5): weir has no
 * modification dates, so a date never matches.
 */
export function admitsRange(ifRange: string | undefined, digest: string): boolean {
  return ifRange === undefined || ifRange.trim() === etagOf(digest);
}
