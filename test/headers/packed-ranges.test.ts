import { describe, expect, it } from 'vitest';
import fc from 'fast-check';
import { inList, PackedSpans, packRanges, rangeAt, unpackRanges } from '../../src/headers/packed-ranges.ts';
import type { RequestRange } from '../../src/headers/range.ts';

const number = fc.nat(Number.MAX_SAFE_INTEGER - 1);
const range: fc.Arbitrary<RequestRange> = fc.oneof(
  fc.record({ kind: fc.constant('closed' as const), first: number, last: number }),
  fc.record({ kind: fc.constant('open' as const), first: number }),
  fc.record({ kind: fc.constant('suffix' as const), length: number }),
);

describe('packed ranges and spans', () => {
  it('are the same when they are unpacked, also on another thread', () => {
    fc.assert(
      fc.property(fc.array(range), (ranges) => {
        const packed = structuredClone(packRanges(ranges));
        expect(unpackRanges(packed)).toEqual(ranges);
        expect(rangeAt(packed, 0)).toEqual(ranges[0]);
        expect(rangeAt(packed, ranges.length)).toBeUndefined();
      }),
    );
  });

  it('are gone through in their order', () => {
    const span = fc.record({ start: number, end: number });
    fc.assert(
      fc.property(fc.array(span), (spans) => {
        const packed = new PackedSpans(spans);
        expect([packed.length, packed.at(spans.length), [...inList(packed)]]).toEqual([spans.length, undefined, spans]);
        expect([...inList(packed, 1)]).toEqual(spans.slice(1));
      }),
    );
  });
});
