/** The `Link` header of paginated answers (RFC 8288, as far as registries use it). */

export interface Link {
  /** The URL reference between the angle brackets, absolute or relative. */
  readonly target: string;
  /** Relation types in lower case; a link without `rel` has none. */
  readonly relations: readonly string[];
}

/** Longer headers hold nothing that a registry would say. */
const maxLinkLength = 16 * 1024;

/** The links of a header value (several values joined by commas), as far as they are well formed. */
export function parseLinks(header: string): readonly Link[] {
  const links: Link[] = [];
  if (header.length > maxLinkLength) return links;
  let at = 0;
  for (;;) {
    at = skip(header, at, ' \t,');
    if (header[at] !== '<') return links;
    const close = header.indexOf('>', at);
    if (close === -1) return links;
    const target = header.slice(at + 1, close).trim();
    const parameters = parseParameters(header, close + 1);
    const rel = parameters.values.get('rel') ?? '';
    links.push({
      target,
      relations: rel
        .toLowerCase()
        .split(/\s+/)
        .filter((word) => word !== ''),
    });
    at = parameters.end;
  }
}

/** The target of the link to the next page. Resolve it against the request, and refuse another origin. */
export function nextLink(header: string): string | undefined {
  return parseLinks(header).find(({ relations }) => relations.includes('next'))?.target;
}

/** A link to the next page, relative: the client keeps the host that it knows, whatever stands in between. */
export function formatNextLink(path: string, query: Iterable<readonly [string, string]>): string {
  const search = new URLSearchParams();
  for (const [name, value] of query) search.append(name, value);
  return `<${path}?${search.toString()}>; rel="next"`;
}

/** Reads `; name=value` pairs up to the comma that ends the link. The first of several equal names counts (§3.3). */
function parseParameters(text: string, from: number): { values: ReadonlyMap<string, string>; end: number } {
  const values = new Map<string, string>();
  let at = from;
  for (;;) {
    at = skip(text, at, ' \t');
    if (text[at] !== ';') return { values, end: at };
    at = skip(text, at + 1, ' \t');
    const nameEnd = until(text, at, '=;, \t');
    const name = text.slice(at, nameEnd).toLowerCase();
    at = skip(text, nameEnd, ' \t');
    let value = '';
    if (text[at] === '=') {
      at = skip(text, at + 1, ' \t');
      const read = text[at] === '"' ? quoted(text, at + 1) : token(text, at);
      value = read.value;
      at = read.end;
    }
    if (name !== '' && !values.has(name)) values.set(name, value);
  }
}

function token(text: string, from: number): { value: string; end: number } {
  const end = until(text, from, ';, \t');
  return { value: text.slice(from, end), end };
}

function quoted(text: string, from: number): { value: string; end: number } {
  let value = '';
  let at = from;
  while (at < text.length && text[at] !== '"') {
    if (text[at] === '\\') at++;
    value += text[at] ?? '';
    at++;
  }
  return { value, end: at + 1 };
}

function skip(text: string, from: number, characters: string): number {
  let at = from;
  while (at < text.length && characters.includes(text.charAt(at))) at++;
  return at;
}

function until(text: string, from: number, characters: string): number {
  let at = from;
  while (at < text.length && !characters.includes(text.charAt(at))) at++;
  return at;
}
