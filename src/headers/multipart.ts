/** The frame of multipart/byteranges (RFC 9110 §14.6): what stands between the parts, so that its length is known ahead. */
import { randomBytes } from 'node:crypto';
import { formatContentRange, type Span } from './range.ts';

export interface Multipart {
  readonly contentType: string;
  readonly contentLength: number;
  /** What precedes the bytes of part `index`. */
  partHead(index: number): string;
  /** What follows the last part. */
  readonly tail: string;
}

/** One part for each span, in this order: clients count them and ignore what the part heads say. */
export function multipart(spans: readonly Span[], sizeBytes: number, partType: string): Multipart {
  // Letters and digits only: some clients do not unquote a boundary. Random, so that no blob can contain it on purpose.
  const boundary = randomBytes(16).toString('hex');
  // Made anew where they are needed: a thousand of them would be held for as long as a slow client takes.
  const partHead = (index: number): string => {
    const range = formatContentRange(spans[index] ?? { start: 0, end: 1 }, sizeBytes);
    const before = index === 0 ? '' : '\r\n';
    return `${before}--${boundary}\r\nContent-Range: ${range}\r\nContent-Type: ${partType}\r\n\r\n`;
  };
  const tail = `\r\n--${boundary}--\r\n`;
  let contentLength = tail.length;
  for (const [index, { start, end }] of spans.entries()) contentLength += partHead(index).length + end - start;
  return {
    contentType: `multipart/byteranges; boundary=${boundary}`,
    contentLength,
    partHead,
    tail,
  };
}
