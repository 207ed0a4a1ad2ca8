/** The query of a `/v2/` request: `ns`, the page, and whatever else the client wrote. */

export interface V2Query {
  /** Every value of `ns`, in order. More than one is for routing to refuse. */
  readonly ns: readonly string[];
  /** All other parameters, decoded, in order. */
  readonly rest: readonly (readonly [string, string])[];
}

export interface Page {
  /** How many entries at most; 0 asks for none. */
  readonly n?: number;
  /** The entry after which the page starts. */
  readonly last?: string;
}

export function parseQuery(text: string): V2Query & { readonly search: URLSearchParams } {
  const search = new URLSearchParams(text);
  return { ns: search.getAll('ns'), rest: [...search].filter(([name]) => name !== 'ns'), search };
}

/** The page asked for, or undefined when `n` is not a whole number; an empty `n` counts as absent, as in distribution. */
export function readPage(search: URLSearchParams): Page | undefined {
  const text = search.get('n') ?? '';
  const last = search.get('last') ?? '';
  const n = Number(text);
  if (text !== '' && !(/^[0-9]+$/.test(text) && Number.isSafeInteger(n))) return undefined;
  return { ...(text === '' ? {} : { n }), ...(last === '' ? {} : { last }) };
}
