/** The frame of multipart/byteranges (RFC 9110 §14.6): what stands between the parts, so that its length is known ahead. */
import { randomBytes } from 'node:crypto';
import { inList, type SpanList } from './packed-ranges.ts';
import { formatContentRange, type Span } from './range.ts';

export interface Multipart {
  readonly contentType: string;
  readonly contentLength: number;
  /** What precedes the bytes of part `index`. */
  partHead(index: number): string;
  /** What follows the last part. */
  readonly tail: string;
}

/** Both of its numbers have one digit. */
const missing: Span = { start: 0, end: 1 };

/** One part for each span, in this order: clients count them and ignore what the part heads say. */
export function multipart(spans: SpanList, sizeBytes: number, partType: string): Multipart {
  // Letters and digits only: some clients do not unquote a boundary. Random, so that no blob can contain it on purpose.
  const boundary = randomBytes(16).toString('hex');
  // Made anew where they are needed: a thousand of them would be held for as long as a slow client takes.
  const partHead = (index: number): string => {
    const range = formatContentRange(spans.at(index) ?? missing, sizeBytes);
    const before = index === 0 ? '' : '\r\n';
    return `${before}--${boundary}\r\nContent-Range: ${range}\r\nContent-Type: ${partType}\r\n\r\n`;
  };
  const tail = `\r\n--${boundary}--\r\n`;
  // Counted: the heads of a thousand parts are a third of a megabyte of text that nobody needs yet.
  const numberless = partHead(1).length - formatContentRange(spans.at(1) ?? missing, sizeBytes).length;
  const aroundNumbers = formatContentRange(missing, sizeBytes).length - 2;
  let contentLength = tail.length - 2;
  for (const { start, end } of inList(spans)) {
    contentLength += numberless + aroundNumbers + digitsOf(start) + digitsOf(end - 1) + end - start;
  }
  return {
    contentType: `multipart/byteranges; boundary=${boundary}`,
    contentLength,
    partHead,
    tail,
  };
}

function digitsOf(number: number): number {
  let digits = 1;
  for (let rest = number; rest >= 10; rest = Math.floor(rest / 10)) digits += 1;
  return digits;
}
