/**
 * Whether an answer to a Range request is the range that was asked for. Bytes are written where this says, so only an
 * exact one counts; everything else says something about Range at this place, and nothing about the blob.
 */
import { formatRange, parseContentRange, type Span } from '../../headers/range.ts';
import { firstOf, parseContentLength } from '../../headers/content-length.ts';
import type { AskedRange, BlobBody } from '../contract/upstream.ts';

type Headers = Readonly<Record<string, string | readonly string[] | undefined>>;

/** The Range header; a closed range must not be empty. */
export function rangeHeader(asked: AskedRange): string {
  return asked.kind === 'closed' ? formatRange(asked) : `bytes=-${asked.suffixBytes}`;
}

export function readRangeAnswer(
  asked: AskedRange,
  status: number,
  headers: Headers,
): BlobBody['answer'] | { readonly kind: 'odd'; readonly reason: string } {
  if (status === 200) return { kind: 'whole', sizeBytes: parseContentLength(headers['content-length']) };
  if (status !== 206) return { kind: 'odd', reason: `status ${status}` };
  const said = headers['content-range'];
  if (typeof said !== 'string') return { kind: 'odd', reason: '206 without one Content-Range' };
  const range = parseContentRange(said);
  if (range?.kind !== 'span' || range.size === undefined) return { kind: 'odd', reason: 'an unusable Content-Range' };
  const wanted = spanOf(asked, range.size);
  const { start, end } = range.span;
  if (start !== wanted.start || end !== wanted.end) return { kind: 'odd', reason: 'another range than asked' };
  const declared = firstOf(headers['content-length']);
  if (declared !== undefined && parseContentLength(declared) !== end - start) {
    return { kind: 'odd', reason: 'Content-Length is not that of the range' };
  }
  return { kind: 'part', start, end, totalBytes: range.size };
}

function spanOf(asked: AskedRange, size: number): Span {
  if (asked.kind === 'suffix') return { start: Math.max(0, size - asked.suffixBytes), end: size };
  return { start: asked.start, end: Math.min(asked.end, size) };
}
