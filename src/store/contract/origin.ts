/** Who gave the word on which a link rests. It is remembered because what it is worth hangs on what is configured later. */

/**
 * `anonymous`: a stranger got the upstream's yes · `operator`: imported, or adopted from a layout that is not weir's ·
 * `credential`: weir's own, which `place` names (kind, user name or helper, never the secret) · `client`: a client's own
 * credential, which counts only together with a verdict of its registry · `legacy`: from before weir took notes of this.
 */
export type Origin =
  | { readonly kind: 'anonymous' | 'operator' | 'client' | 'legacy' }
  | { readonly kind: 'credential'; readonly place: string };

export const byAnybody: Origin = { kind: 'anonymous' };

/** A credential of which nothing is known any more: no place is ever this one. */
export const unknownPlace = 'unknown';

/** From the one that proves least to the one that proves most. */
const ranks = ['legacy', 'client', 'credential', 'operator', 'anonymous'] as const;

export function rankOf({ kind }: Origin): number {
  return ranks.indexOf(kind);
}

/** What was said by nobody in particular, or while `place` was shown. */
export function originOf(place: string | undefined): Origin {
  return place === undefined ? byAnybody : { kind: 'credential', place };
}

/** Printable ASCII, for a cell of the catalog and an annotation. */
export function originText(origin: Origin): string {
  return origin.kind === 'credential' ? `credential ${origin.place}` : origin.kind;
}

/** What cannot be read is the least that it can be. */
export function parseOrigin(text: string): Origin {
  if (text.startsWith('credential ')) return { kind: 'credential', place: text.slice('credential '.length) };
  const kind = (['anonymous', 'operator', 'client'] as const).find((each) => each === text);
  return { kind: kind ?? 'legacy' };
}
