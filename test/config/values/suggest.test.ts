import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { closest, editDistance } from '../../../src/config/values/suggest.ts';

describe('suggestions', () => {
  it.each([
    ['max_size', 'maxSize'],
    ['MAXSIZE', 'maxSize'],
    ['maxSzie', 'maxSize'],
    ['maxSiz', 'maxSize'],
    ['rot', 'root'],
    ['minFre', 'minFree'],
  ])('%s probably means %s', (written, meant) => {
    expect(closest(written, ['root', 'maxSize', 'minFree'])).toBe(meant);
  });

  it.each(['x', '', 'url', 'something else entirely', 'r'])('nothing is close to %j', (written) => {
    expect(closest(written, ['root', 'maxSize', 'minFree'])).toBeUndefined();
  });

  it('the closest of several wins', () => {
    expect(closest('tags', ['tag', 'tags', 'tag'])).toBe('tags');
  });

  it('distances are those of the definition', () => {
    const word = fc.stringMatching(/^[abc]{0,6}$/);
    const slow = (a: string, b: string): number => {
      if (a === '' || b === '') return a.length + b.length;
      const least = Math.min(
        slow(a.slice(1), b) + 1,
        slow(a, b.slice(1)) + 1,
        slow(a.slice(1), b.slice(1)) + (a[0] === b[0] ? 0 : 1),
      );
      const isSwap = a.length > 1 && b.length > 1 && a[0] === b[1] && a[1] === b[0];
      return isSwap ? Math.min(least, slow(a.slice(2), b.slice(2)) + 1) : least;
    };
    fc.assert(
      fc.property(word, word, (a, b) => {
        expect(editDistance(a, b)).toBe(slow(a, b));
        expect(editDistance(b, a)).toBe(slow(a, b));
      }),
    );
  });
});
