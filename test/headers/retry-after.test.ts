import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseRetryAfter } from '../../src/headers/retry-after.ts';

const now = Date.UTC(2026, 10, 22, 12, 0, 0);

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
