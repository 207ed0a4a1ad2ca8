import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  formatContentRange,
  formatRange,
  formatUnsatisfied,
  maxRanges,
  parseContentRange,
  parseRange,
  type RequestRange,
  resolveRanges,
} from '../../src/headers/range.ts';

/** The answer to a Range header over a blob of `size` bytes, written as short as possible. */
function answer(header: string, size: number): string {
  const ranges = parseRange(header);
  if (ranges === 'ignore') return '200';
  if (ranges === 'unsatisfiable') return '416';
  const resolved = resolveRanges(ranges, size);
  switch (resolved.kind) {
    case 'full':
      return '200';
    case 'unsatisfiable':
      return '416';
    case 'single':
      return `206 ${resolved.span.start}-${resolved.span.end - 1}`;
    case 'multi':
      return `206 ${resolved.spans.map(({ start, end }) => `${start}-${end - 1}`).join(' ')}`;
  }
}

describe('request range', () => {
  it.each([
    // The conformance suite's cases on 2,048 bytes.
    ['bytes=500-1499', 2048, '206 500-1499'],
    ['bytes=500-', 2048, '206 500-2047'],
    ['bytes=-500', 2048, '206 1548-2047'],
    ['bytes=2000-5000', 2048, '206 2000-2047'],
    ['bytes=5000-10000', 2048, '416'],
    ['bytes=500-0', 2048, '416'],
    // Go's http.ServeContent.
    ['bytes=0-0', 10, '206 0-0'],
    ['bytes=0-', 10, '206 0-9'],
    ['bytes=-99', 10, '206 0-9'],
    ['bytes=-0', 10, '416'],
    ['bytes=10-', 10, '416'],
    ['bytes=0-1,20-30', 10, '206 0-1'],
    ['bytes=8-9,0-1', 10, '206 8-9 0-1'],
    ['bytes=0-1,2-3', 10, '206 0-1 2-3'],
    ['bytes=0-4,0-4', 10, '206 0-4 0-4'],
    ['bytes=0-5,0-4', 10, '200'],
    ['bytes=0-1,5-2', 10, '416'],
    ['bytes= 0 - 1 ,\t2-3', 10, '206 0-1 2-3'],
    ['bytes=,0-1,,', 10, '206 0-1'],
    ['bytes=', 10, '200'],
    ['bytes=,', 10, '200'],
    ['bytes=abc', 10, '416'],
    ['bytes=-', 10, '416'],
    ['bytes=--5', 10, '416'],
    ['bytes=+1-2', 10, '416'],
    ['bytes=1-2-3', 10, '416'],
    ['bytes=0x1-2', 10, '416'],
    ['bytes=1.0-2', 10, '416'],
    ['BYTES=0-1', 10, '206 0-1'],
    ['items=0-1', 10, '200'],
    ['bytesx=0-1', 10, '200'],
    ['bytes', 10, '416'],
    ['bytes 0-1', 10, '416'],
    ['', 10, '416'],
    ['bytes=0-99999999999999999999999999', 10, '206 0-9'],
    ['bytes=99999999999999999999999999-', 10, '416'],
    ['bytes=-99999999999999999999999999', 10, '206 0-9'],
    // Every range of an empty blob: the empty 200.
    ['bytes=0-', 0, '200'],
    ['bytes=-1', 0, '200'],
    ['bytes=5-9', 0, '200'],
  ])('%s of %d bytes is %s', (header, size, expected) => expect(answer(header, size)).toBe(expected));

  it('keeps 1,024 ranges in their order and ignores one more', () => {
    const spec = (count: number): string =>
      `bytes=${Array.from({ length: count }, (_, i) => `${(count - i) * 100_000}-${(count - i) * 100_000 + 9}`).join(',')}`;
    const many = spec(maxRanges);
    expect(many.length).toBeGreaterThan(15_000);
    const ranges = parseRange(many);
    expect(ranges).toHaveLength(maxRanges);
    expect(answer(many, 1e9).split(' ')).toHaveLength(maxRanges + 1);
    expect(answer(many, 1e9)).toMatch(/^206 102400000-102400009 102300000-/);
    expect(parseRange(spec(maxRanges + 1))).toBe('ignore');
  });

  it('ignores a header beyond 32 KiB', () => {
    expect(parseRange(`bytes=0-1${' '.repeat(32 * 1024)}`)).toBe('ignore');
  });

  it('never throws and never leaves the blob', () => {
    const piece = fc.stringMatching(/^[0-9 ,=-]{0,30}$/);
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          piece.map((text) => `bytes=${text}`),
        ),
        fc.nat(1000),
        (header, size) => {
          const ranges = parseRange(header);
          if (typeof ranges === 'string') return;
          const resolved = resolveRanges(ranges, size);
          const spans = resolved.kind === 'single' ? [resolved.span] : resolved.kind === 'multi' ? resolved.spans : [];
          for (const { start, end } of spans) {
            expect(start).toBeGreaterThanOrEqual(0);
            expect(end).toBeGreaterThan(start);
            expect(end).toBeLessThanOrEqual(size);
          }
        },
      ),
    );
  });

  it('selects the same bytes as a filter over every position', () => {
    const range: fc.Arbitrary<RequestRange> = fc.oneof(
      fc
        .tuple(fc.nat(30), fc.nat(30))
        .map(([a, b]) => ({ kind: 'closed' as const, first: Math.min(a, b), last: Math.max(a, b) })),
      fc.nat(30).map((first) => ({ kind: 'open' as const, first })),
      fc.nat(30).map((length) => ({ kind: 'suffix' as const, length })),
    );
    fc.assert(
      fc.property(fc.array(range, { minLength: 1, maxLength: 5 }), fc.integer({ min: 1, max: 20 }), (ranges, size) => {
        const positions = Array.from({ length: size }, (_, i) => i);
        const wanted = ranges
          .map((r) =>
            positions.filter((i) =>
              r.kind === 'suffix' ? i >= size - r.length : i >= r.first && (r.kind === 'open' || i <= r.last),
            ),
          )
          .filter((list) => list.length > 0);
        const resolved = resolveRanges(ranges, size);
        const spans = resolved.kind === 'single' ? [resolved.span] : resolved.kind === 'multi' ? resolved.spans : [];
        if (wanted.length === 0) expect(resolved.kind).toBe('unsatisfiable');
        else if (wanted.flat().length > size) expect(resolved.kind).toBe('full');
        else expect(spans.map(({ start, end }) => positions.slice(start, end))).toEqual(wanted);
      }),
    );
  });
});

describe('content range', () => {
  it.each([
    ['bytes 0-0/1', { kind: 'span', span: { start: 0, end: 1 }, size: 1 }],
    ['bytes 5-9/*', { kind: 'span', span: { start: 5, end: 10 } }],
    ['Bytes 5-9/10', { kind: 'span', span: { start: 5, end: 10 }, size: 10 }],
    ['bytes */10', { kind: 'unsatisfied', size: 10 }],
    [
      'bytes 4294967296-4294967297/8589934592',
      { kind: 'span', span: { start: 2 ** 32, end: 2 ** 32 + 2 }, size: 2 ** 33 },
    ],
  ])('reads %s', (header, expected) => expect(parseContentRange(header)).toEqual(expected));

  it.each([
    '',
    'bytes',
    'bytes */*',
    'bytes 0-9/9',
    'bytes 5-4/10',
    'bytes 0-9',
    'bytes 0 - 9/10',
    'bytes=0-9/10',
    'bytes  0-9/10',
    'items 0-9/10',
    'bytes -1-9/10',
    'bytes 0-9/10, bytes 0-9/10',
    'bytes 0-9007199254740991/*',
    'bytes 0-1/9007199254740993',
    'bytes 0-99999999999999999999/*',
  ])('refuses %j', (header) => expect(parseContentRange(header)).toBeUndefined());

  it('reads what it writes', () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), fc.maxSafeNat(), fc.maxSafeNat(), (a, b, c) => {
        const [start = 0, end = 0, size = 0] = [a, b, c].toSorted((x, y) => x - y);
        if (start === end) return;
        const span = { start, end };
        expect(parseContentRange(formatContentRange(span, size))).toEqual({ kind: 'span', span, size });
        expect(parseContentRange(formatContentRange(span))).toEqual({ kind: 'span', span });
        expect(parseContentRange(formatUnsatisfied(size))).toEqual({ kind: 'unsatisfied', size });
        if (end < Number.MAX_SAFE_INTEGER) {
          expect(parseRange(formatRange(span))).toEqual([{ kind: 'closed', first: start, last: end - 1 }]);
        }
      }),
    );
  });

  it('never throws', () => {
    fc.assert(fc.property(fc.string(), (text) => void parseContentRange(text)));
  });
});
