import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ageOf, Ages, freshSeconds, staleSeconds } from '../../../src/cache/freshness/age.ts';
import { FakeClock } from '../../support/fake-clock.ts';

const wall = fc.integer({ min: -1e14, max: 1e14 });
const elapsed = fc.integer({ min: 0, max: 1e12 });

describe('ageOf', () => {
  it('measures by the monotonic clock, and by the wall where that knows of more', () => {
    expect(ageOf(1_000, 3_000, 2_000)).toEqual({ freshnessMs: 2_000, outageMs: 2_000 });
    expect(ageOf(1_000, 9_000, 2_000)).toEqual({ freshnessMs: 8_000, outageMs: 2_000 });
    expect(ageOf(9_000, 1_000, 2_000)).toEqual({ freshnessMs: 2_000, outageMs: 2_000 });
  });

  it('takes a date in the future for expired, and for just now during an outage', () => {
    expect(ageOf(9_000, 1_000, undefined)).toEqual({ freshnessMs: Infinity, outageMs: 0 });
    expect(ageOf(Number.NaN, 1_000, undefined)).toEqual({ freshnessMs: Infinity, outageMs: 0 });
  });

  it('takes what nobody ever checked for expired, and for just now during an outage', () => {
    expect(ageOf(0, 1_000, undefined)).toEqual({ freshnessMs: Infinity, outageMs: 0 });
  });

  it('is never fresher than the monotonic clock says, and never older during an outage', () => {
    fc.assert(
      fc.property(wall, wall, elapsed, (checkedAtMs, nowMs, elapsedMs) => {
        const age = ageOf(checkedAtMs, nowMs, elapsedMs);
        expect(age.freshnessMs).toBeGreaterThanOrEqual(elapsedMs);
        expect(age.outageMs).toBe(elapsedMs);
      }),
    );
  });

  it('is never negative', () => {
    fc.assert(
      fc.property(wall, wall, fc.option(elapsed, { nil: undefined }), (checkedAtMs, nowMs, elapsedMs) => {
        const age = ageOf(checkedAtMs, nowMs, elapsedMs);
        expect(Math.min(age.freshnessMs, age.outageMs)).toBeGreaterThanOrEqual(0);
        expect(age.freshnessMs).toBeGreaterThanOrEqual(age.outageMs);
      }),
    );
  });
});

describe('seconds for Cache-Status', () => {
  it('are whole, never negative while fresh and never above -1 when stale', () => {
    const age = fc.record({ freshnessMs: elapsed, outageMs: elapsed });
    fc.assert(
      fc.property(age, elapsed, (some, ttlMs) => {
        for (const seconds of [freshSeconds(some, ttlMs), staleSeconds(some, ttlMs)]) {
          expect(Number.isSafeInteger(seconds)).toBe(true);
        }
        expect(freshSeconds(some, ttlMs)).toBeGreaterThanOrEqual(0);
        expect(staleSeconds(some, ttlMs)).toBeLessThanOrEqual(-1);
      }),
    );
  });
});

describe('Ages', () => {
  it('trusts its own dates to the monotonic clock, and those of others to the wall', async () => {
    const clock = new FakeClock(1_000_000);
    const ages = new Ages(clock);
    ages.mark('ours', ages.now());
    await clock.advance(500);
    clock.setWallTime(0);
    expect(ages.of('ours', 1_000_000)).toEqual({ freshnessMs: 500, outageMs: 500 });
    expect(ages.of('ours', 999_999)).toEqual({ freshnessMs: Infinity, outageMs: 0 });
    expect(ages.of('theirs', 1_000_000)).toEqual({ freshnessMs: Infinity, outageMs: 0 });
  });

  it('falls back to the wall for what it had to forget', async () => {
    const clock = new FakeClock(1_000_000);
    const ages = new Ages(clock, 1);
    ages.mark('first', ages.now());
    ages.mark('second', ages.now());
    await clock.advance(500);
    clock.setWallTime(1_000_700);
    expect(ages.of('first', 1_000_000).outageMs).toBe(700);
    expect(ages.of('second', 1_000_000).outageMs).toBe(500);
  });
});
