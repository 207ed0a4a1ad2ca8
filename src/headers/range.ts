/**
 * Byte ranges (RFC 9110 §14), in three types so that "end" never means two things: a {@link RequestRange} is what a client
 * wrote, a {@link Span} is a place in a blob of known size (end exclusive), a {@link ContentRange} is what a server says
 * about the bytes that it sends.
 *
 * Where the RFC leaves a choice, the answers are those of Go's `http.ServeContent`, which clients are tested against.
 */

export type RequestRange =
  /** `first-last`, both included. */
  | { readonly kind: 'closed'; readonly first: number; readonly last: number }
  /** `first-`, to the end. */
  | { readonly kind: 'open'; readonly first: number }
  /** `-length`, the last bytes; its number is a length, not a position. */
  | { readonly kind: 'suffix'; readonly length: number };

/** Half-open: `start` included, `end` excluded. Never empty when it comes from this module. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

export type ResolvedRanges =
  | { readonly kind: 'full' }
  | { readonly kind: 'single'; readonly span: Span }
  | { readonly kind: 'multi'; readonly spans: readonly Span[] }
  | { readonly kind: 'unsatisfiable' };

export type ContentRange =
  // `bytes a-b/size`, or `bytes a-b/*` when `size` is absent.
  | { readonly kind: 'span'; readonly span: Span; readonly size?: number }
  // `bytes */size`, as a 416 carries it.
  | { readonly kind: 'unsatisfied'; readonly size: number };

/** podman asks for up to 1,024 ranges in one header of about 22 KiB. */
export const maxRanges = 1024;
export const maxRangeHeaderLength = 32 * 1024;

const otherUnit = /^(?!bytes=)[!#$%&'*+.^_`|~0-9a-z-]+=/i;
const digits = /^[0-9]+$/;

/**
 * The ranges of a `Range` header, in the order of the request. `'ignore'` means "answer 200 with everything": another
 * unit, no range at all, or more than weir is willing to serve. `'unsatisfiable'` means 416: malformed, or first > last.
 */
export function parseRange(header: string): readonly RequestRange[] | 'ignore' | 'unsatisfiable' {
  if (header.length > maxRangeHeaderLength || otherUnit.test(header)) return 'ignore';
  if (header.slice(0, 6).toLowerCase() !== 'bytes=') return 'unsatisfiable';
  const ranges: RequestRange[] = [];
  for (const part of header.slice(6).split(',')) {
    const spec = trim(part);
    if (spec === '') continue;
    const range = parseSpec(spec);
    if (range === undefined) return 'unsatisfiable';
    ranges.push(range);
  }
  return ranges.length === 0 || ranges.length > maxRanges ? 'ignore' : ranges;
}

/**
 * Where `ranges` lie in `size` bytes: clipped at the end, those beyond it dropped, the rest in request order and never
 * merged, because clients count the parts. Ranges that together ask for more than the whole get the whole, and so does
 * any range of an empty blob.
 */
export function resolveRanges(ranges: readonly RequestRange[], size: number): ResolvedRanges {
  if (size === 0) return { kind: 'full' };
  const spans: Span[] = [];
  for (const range of ranges) {
    const span = toSpan(range, size);
    if (span !== undefined) spans.push(span);
  }
  const [first] = spans;
  if (first === undefined) return { kind: 'unsatisfiable' };
  if (spans.reduce((sum, span) => sum + span.end - span.start, 0) > size) return { kind: 'full' };
  return spans.length === 1 ? { kind: 'single', span: first } : { kind: 'multi', spans };
}

/** `bytes a-b/size` for a 206, with `/*` when the size is not known. */
export function formatContentRange(span: Span, size?: number): string {
  return `bytes ${span.start}-${span.end - 1}/${size ?? '*'}`;
}

/** The `Content-Range` of a 416. */
export function formatUnsatisfied(size: number): string {
  return `bytes */${size}`;
}

/** The `Range` header that asks for exactly this span. */
export function formatRange(span: Span): string {
  return `bytes=${span.start}-${span.end - 1}`;
}

/** Strict, because bytes are written where this says: anything inexact or inconsistent is undefined. */
export function parseContentRange(header: string): ContentRange | undefined {
  const match = /^bytes (?:([0-9]{1,16})-([0-9]{1,16})|\*)\/([0-9]{1,16}|\*)$/i.exec(header.trim());
  if (match === null) return undefined;
  const [, first, last, total] = match;
  const size = total === undefined || total === '*' ? undefined : Number(total);
  if (size !== undefined && !Number.isSafeInteger(size)) return undefined;
  if (first === undefined || last === undefined) return size === undefined ? undefined : { kind: 'unsatisfied', size };
  const span = { start: Number(first), end: Number(last) + 1 };
  if (!Number.isSafeInteger(span.end) || span.start >= span.end) return undefined;
  if (size === undefined) return { kind: 'span', span };
  return span.end > size ? undefined : { kind: 'span', span, size };
}

function parseSpec(spec: string): RequestRange | undefined {
  const dash = spec.indexOf('-');
  if (dash === -1) return undefined;
  const before = trim(spec.slice(0, dash));
  const after = trim(spec.slice(dash + 1));
  if (before === '') return digits.test(after) ? { kind: 'suffix', length: position(after) } : undefined;
  if (!digits.test(before)) return undefined;
  const first = position(before);
  if (after === '') return { kind: 'open', first };
  if (!digits.test(after)) return undefined;
  const last = position(after);
  return first > last ? undefined : { kind: 'closed', first, last };
}

function toSpan(range: RequestRange, size: number): Span | undefined {
  if (range.kind === 'suffix') {
    return range.length === 0 ? undefined : { start: Math.max(0, size - range.length), end: size };
  }
  if (range.first >= size) return undefined;
  return { start: range.first, end: range.kind === 'open' ? size : Math.min(range.last + 1, size) };
}

/** Numbers beyond what a double holds exactly mean "beyond any blob" all the same; one below the limit leaves room for +1. */
function position(text: string): number {
  return Math.min(Number(text), Number.MAX_SAFE_INTEGER - 1);
}

/** By hand, because `/[ \t]+$/` costs the square of a run of blanks that does not end the text. */
function trim(text: string): string {
  let start = 0;
  let end = text.length;
  while (start < end && isBlank(text[start])) start++;
  while (end > start && isBlank(text[end - 1])) end--;
  return text.slice(start, end);
}

function isBlank(character: string | undefined): boolean {
  return character === ' ' || character === '\t';
}
