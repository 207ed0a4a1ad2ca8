/** Patterns for tags: `*` is any run of characters, `?` is one, everything else is itself. */

/** True for tags that one of the patterns matches whole. Linear in the tag's length times the pattern's. */
export function tagMatcher(patterns: readonly string[]): (tag: string) => boolean {
  return (tag) => patterns.some((pattern) => matches(pattern, tag));
}

/**
 * Walks both texts and returns to the latest `*` on a mismatch. Not a regular expression: several `*` in one pattern
 * would make it backtrack exponentially, and tags come from clients.
 */
function matches(pattern: string, tag: string): boolean {
  let at = 0;
  let inPattern = 0;
  let starAt = -1;
  let resumeAt = 0;
  while (at < tag.length) {
    const wanted = pattern[inPattern];
    if (wanted === '*') {
      starAt = inPattern;
      resumeAt = at;
      inPattern += 1;
    } else if (wanted === '?' || wanted === tag[at]) {
      at += 1;
      inPattern += 1;
    } else if (starAt >= 0) {
      resumeAt += 1;
      at = resumeAt;
      inPattern = starAt + 1;
    } else {
      return false;
    }
  }
  while (pattern[inPattern] === '*') inPattern += 1;
  return inPattern === pattern.length;
}
