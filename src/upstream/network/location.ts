/**
 * The path and query of a Location as its sender wrote them. URLs are signed as text, and the parser of URLs writes them
 * anew: `'` becomes `%27`, `%2e%2e` goes up, octets above ASCII are encoded as if they were Latin-1. Go's client, by which
 * storage is tried out, sends such things as they came.
 */

/** Octets that may stand in the first line of a request: no controls and no blanks. */
const sendable = /^[\x21-\x7e\x80-\xff]*$/;
/** Scheme and authority. With a backslash, which parsers of URLs take for a slash, nobody agrees where they end. */
const place = /^(?:[A-Za-z][A-Za-z0-9+.-]*:)?\/\/[^/?\\]+(?![^/?])/;

/**
 * What to ask for at the place of `location`, which was named in the answer to `asked` (a path and query). Undefined when
 * it cannot be sent as it is: the parsed URL decides then.
 */
export function targetOf(location: string, asked: string): string | undefined {
  const [reference = ''] = location.split('#', 1);
  if (!sendable.test(reference)) return undefined;
  const authority = place.exec(reference)?.[0];
  if (authority !== undefined) return rooted(reference.slice(authority.length));
  // A scheme without authority, or what a parser of URLs reads as an authority.
  if (/^[/\\]{2}/.test(reference) || /^[^/?]*[:\\]/.test(reference)) return undefined;
  if (reference.startsWith('/')) return rooted(reference);
  const path = pathOf(asked);
  if (reference === '') return asked;
  if (reference.startsWith('?')) return `${path}${reference}`;
  return rooted(`${path.slice(0, path.lastIndexOf('/') + 1)}${reference}`);
}

function pathOf(target: string): string {
  return target.split('?', 1)[0] ?? '';
}

function rooted(target: string): string {
  const path = pathOf(target);
  return `${withoutDots(path.startsWith('/') ? path : `/${path}`)}${target.slice(path.length)}`;
}

/** RFC 3986 §5.2.4. Only dots that are written as dots. */
function withoutDots(path: string): string {
  if (!/\/\.{1,2}(?:\/|$)/.test(path)) return path;
  const segments = path.split('/').slice(1);
  const last = segments.at(-1);
  const kept: string[] = [];
  for (const segment of segments) {
    if (segment === '..') kept.pop();
    else if (segment !== '.') kept.push(segment);
  }
  return `/${kept.join('/')}${(last === '.' || last === '..') && kept.length > 0 ? '/' : ''}`;
}
