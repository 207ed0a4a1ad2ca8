import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { IntervalSet } from '../../src/lib/interval-set.ts';

const limit = 40;
const interval = fc
  .tuple(fc.nat(limit), fc.nat(limit))
  .map(([a, b]) => ({ start: Math.min(a, b), end: Math.max(a, b) }));

/** The obvious implementation: one flag per number. */
function bitmap(entries: readonly { start: number; end: number }[]): boolean[] {
  const bits = Array.from({ length: limit + 2 }, () => false);
  for (const { start, end } of entries) bits.fill(true, start, end);
  return bits;
}

function stretches(bits: readonly boolean[], value: boolean, from = 0, to = bits.length) {
  const found: { start: number; end: number }[] = [];
  for (let i = from; i < to; i++) {
    if (bits[i] !== value) continue;
    const last = found.at(-1);
    if (last !== undefined && last.end === i) last.end = i + 1;
    else found.push({ start: i, end: i + 1 });
  }
  return found;
}

describe('interval set', () => {
  it('agrees with a bitmap about everything', () => {
    fc.assert(
      fc.property(fc.array(interval, { maxLength: 12 }), interval, (entries, { start, end }) => {
        const set = IntervalSet.fromEntries(entries);
        const bits = bitmap(entries);
        expect(set.entries()).toEqual(stretches(bits, true));
        expect(set.runs).toBe(set.entries().length);
        expect(set.total).toBe(bits.filter(Boolean).length);
        expect(set.firstGap(start, end)).toEqual(stretches(bits, false, start, end)[0]);
        for (let i = 0; i <= limit; i++) {
          const stop = bits.indexOf(false, i);
          expect(set.runEnd(i)).toBe(stop);
        }
      }),
      { numRuns: 500 },
    );
  });

  it('does not depend on the order of the additions, and a copy is independent', () => {
    fc.assert(
      fc.property(fc.array(interval, { maxLength: 8 }), (entries) => {
        const set = IntervalSet.fromEntries(entries);
        const copy = IntervalSet.fromEntries(set.entries());
        expect(IntervalSet.fromEntries(entries.toReversed()).entries()).toEqual(set.entries());
        copy.add(1000, 1001);
        expect(set.runEnd(1000)).toBe(1000);
      }),
    );
  });

  it('melts neighbours into one run', () => {
    const set = IntervalSet.fromEntries([
      { start: 0, end: 4 },
      { start: 8, end: 12 },
    ]);
    set.add(4, 8);
    expect(set.entries()).toEqual([{ start: 0, end: 12 }]);
  });

  it('counts beyond 2^33', () => {
    const set = new IntervalSet();
    set.add(2 ** 33, 2 ** 33 + 5);
    set.add(2 ** 40, 2 ** 40 + 1);
    expect(set.total).toBe(6);
    expect(set.firstGap(2 ** 33, 2 ** 41)).toEqual({ start: 2 ** 33 + 5, end: 2 ** 40 });
  });

  it.each([
    [5, 4],
    [-1, 3],
    [0.5, 2],
    [0, Number.NaN],
    [0, 2 ** 53],
  ])('refuses [%d, %d)', (start, end) => expect(() => new IntervalSet().add(start, end)).toThrow(RangeError));

  it('stays quick with many runs', () => {
    const set = new IntervalSet();
    for (let i = 0; i < 50_000; i++) set.add(i * 4, i * 4 + 2);
    expect(set.runs).toBe(50_000);
    expect(set.firstGap(199_996, 200_000)).toEqual({ start: 199_998, end: 200_000 });
    set.add(0, 200_000);
    expect(set.entries()).toEqual([{ start: 0, end: 200_000 }]);
  });
});
