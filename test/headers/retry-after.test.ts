import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { backoff, parseRetryAfter } from '../../src/headers/retry-after.ts';

const now = Date.UTC(2026, 10, 22, 12, 0, 0);

describe('backoff', () => {
  it('doubles up to its maximum, from half to all of it', () => {
    const waits = (random: number): number[] =>
      [0, 1, 2, 3, 10, 2000].map((attempt) => backoff(attempt, { baseMs: 100, maxMs: 500, random: () => random }));
    expect(waits(0)).toEqual([50, 100, 200, 250, 250, 250]);
    expect(waits(1)).toEqual([100, 200, 400, 500, 500, 500]);
  });

  it('stays in its bounds', () => {
    fc.assert(
      fc.property(fc.integer({ min: -5, max: 5000 }), fc.integer({ min: 1, max: 10_000 }), (attempt, baseMs) => {
        const wait = backoff(attempt, { baseMs, maxMs: 60_000 });
        expect(wait).toBeGreaterThanOrEqual(Math.min(baseMs, 60_000) / 2);
        expect(wait).toBeLessThanOrEqual(60_000);
      }),
    );
  });
});

describe('Retry-After', () => {
  it.each([
    ['0', 0],
    ['120', 120_000],
    [' 7 ', 7000],
    ['1000000000', 1e12],
    ['Sun, 22 Nov 2026 12:00:30 GMT', 30_000],
    ['Sunday, 22-Nov-26 12:00:30 GMT', 30_000],
    ['Sun Nov 22 12:00:30 2026', 30_000],
    ['Sun, 22 Nov 2026 11:00:00 GMT', 0],
    ['-1', undefined],
    ['+1', undefined],
    ['1.5', undefined],
    ['1 s', undefined],
    ['', undefined],
    ['soon', undefined],
    ['Sun, nonsense GMT', undefined],
    ['2026-11-22T12:00:30Z', undefined],
  ])('%j means %j ms', (header, expected) => expect(parseRetryAfter(header, now)).toBe(expected));

  it('reads every date that JavaScript writes, and never throws', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 86_400 * 365 * 50 }), (seconds) => {
        expect(parseRetryAfter(new Date(now + seconds * 1000).toUTCString(), now)).toBe(seconds * 1000);
      }),
    );
    fc.assert(fc.property(fc.string(), (text) => void parseRetryAfter(text, now)));
  });
});
