import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { median, quantile, summarise } from '../../bench/support/stats.ts';

describe('statistics of a few measurements', () => {
  it('take the middle of an odd number, and half way between the two middles of an even one', () => {
    expect(median([9, 1, 5])).toBe(5);
    expect(median([4, 1, 3, 2])).toBe(2.5);
  });

  it('have no median of nothing, and no summary', () => {
    expect(median([])).toBeNaN();
    expect(summarise([])).toBeUndefined();
  });

  it('keep quantiles in order and within the range', () => {
    const values = fc.array(fc.double({ min: -1e6, max: 1e6, noNaN: true }), { minLength: 1 });
    const share = fc.double({ min: 0, max: 1, noNaN: true });
    fc.assert(
      fc.property(values, share, share, (some, a, b) => {
        const [low, high] = [quantile(some, Math.min(a, b)), quantile(some, Math.max(a, b))];
        const slack = 1e-6;
        expect(low).toBeLessThanOrEqual(high + slack);
        expect(low).toBeGreaterThanOrEqual(Math.min(...some) - slack);
        expect(high).toBeLessThanOrEqual(Math.max(...some) + slack);
      }),
    );
  });

  it('do not depend on the order of the measurements', () => {
    expect(summarise([3, 1, 2])).toEqual({ median: 2, min: 1, max: 3, count: 3 });
    expect(summarise([1, 2, 3])).toEqual(summarise([2, 3, 1]));
  });
});
