import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { rangeHeader, readRangeAnswer } from '../../../src/upstream/requests/content-range.ts';
import type { AskedRange } from '../../../src/upstream/contract/upstream.ts';

const closed = { kind: 'closed', start: 10, end: 20 } as const;
const part = (range: string, length = '10'): Record<string, string> => ({
  'content-range': range,
  'content-length': length,
});

describe('answers to Range', () => {
  it('asks in the words of RFC 9110', () => {
    expect(rangeHeader(closed)).toBe('bytes=10-19');
    expect(rangeHeader({ kind: 'suffix', suffixBytes: 7 })).toBe('bytes=-7');
  });

  it.each([
    [
      'exactly what was asked',
      closed,
      206,
      part('bytes 10-19/100'),
      { kind: 'part', start: 10, end: 20, totalBytes: 100 },
    ],
    [
      'clipped at the end',
      closed,
      206,
      part('bytes 10-14/15', '5'),
      { kind: 'part', start: 10, end: 15, totalBytes: 15 },
    ],
    ['without a length of its own', closed, 206, { 'content-range': 'bytes 10-19/100' }, { kind: 'part' }],
    ['the whole', closed, 200, { 'content-length': '100' }, { kind: 'whole', sizeBytes: 100 }],
    ['the whole of unknown length', closed, 200, {}, { kind: 'whole', sizeBytes: undefined }],
    ['shifted', closed, 206, part('bytes 11-20/100'), { kind: 'odd' }],
    ['shorter than asked', closed, 206, part('bytes 10-18/100', '9'), { kind: 'odd' }],
    ['longer than asked', closed, 206, part('bytes 10-20/100', '11'), { kind: 'odd' }],
    ['of unknown total', closed, 206, part('bytes 10-19/*'), { kind: 'odd' }],
    ['another unit', closed, 206, part('items 10-19/100'), { kind: 'odd' }],
    ['with another length', closed, 206, part('bytes 10-19/100', '11'), { kind: 'odd' }],
    ['no Content-Range, as in multipart', closed, 206, { 'content-type': 'multipart/byteranges' }, { kind: 'odd' }],
    ['two Content-Ranges', closed, 206, { 'content-range': ['bytes 10-19/100', 'bytes 10-19/100'] }, { kind: 'odd' }],
    ['416', closed, 416, { 'content-range': 'bytes */5' }, { kind: 'odd' }],
    ['501', closed, 501, {}, { kind: 'odd' }],
    ['no content', closed, 204, {}, { kind: 'odd' }],
  ])('%s', (_, asked, status, headers, expected) => {
    expect(readRangeAnswer(asked, status, headers)).toMatchObject(expected);
  });

  it('takes a part only where it is the one that was asked for', () => {
    const small = fc.nat({ max: 50 });
    const asked: fc.Arbitrary<AskedRange> = fc.oneof(
      fc
        .tuple(small, fc.integer({ min: 1, max: 20 }))
        .map(([start, length]) => ({ kind: 'closed' as const, start, end: start + length })),
      fc.integer({ min: 1, max: 60 }).map((suffixBytes) => ({ kind: 'suffix' as const, suffixBytes })),
    );
    const seen = { part: 0, odd: 0, whole: 0 };
    fc.assert(
      fc.property(asked, small, small, fc.integer({ min: 1, max: 60 }), fc.boolean(), (range, a, b, size, isRight) => {
        const right = range.kind === 'closed' ? range : { start: Math.max(0, size - range.suffixBytes), end: size };
        const first = isRight ? right.start : a;
        const last = isRight ? Math.min(right.end, size) - 1 : b;
        const said = readRangeAnswer(range, 206, { 'content-range': `bytes ${first}-${last}/${size}` });
        seen[said.kind]++;
        const isPossible = first <= last && last < size;
        const isAsked = first === right.start && last === Math.min(right.end, size) - 1;
        expect(said.kind === 'part').toBe(isPossible && isAsked);
        if (said.kind === 'part') expect(said).toMatchObject({ start: first, end: last + 1, totalBytes: size });
      }),
      { numRuns: 2000 },
    );
    expect(seen.part).toBeGreaterThan(100);
    expect(seen.odd).toBeGreaterThan(100);
  });
});
