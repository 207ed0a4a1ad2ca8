import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { tagMatcher } from '../../../src/config/values/tag-matcher.ts';

describe('tag patterns', () => {
  it.each([
    ['v*', 'v1.2.3', true],
    ['v*', 'v', true],
    ['v*', 'rev1', false],
    ['*', '', true],
    ['*-amd64', '3.20-amd64', true],
    ['*-amd64', '3.20-arm64', false],
    ['1.?', '1.2', true],
    ['1.?', '1.20', false],
    ['1.2', '1x2', false],
    ['a*b*c', 'a-b-b-c', true],
    ['a*b*c', 'a-c-b', false],
    ['', 'latest', false],
  ])('%s against %s is %s', (pattern, tag, expected) => {
    expect(tagMatcher([pattern])(tag)).toBe(expected);
  });

  it('one matching pattern is enough, and no pattern matches nothing', () => {
    expect(tagMatcher(['a', 'b*'])('bc')).toBe(true);
    expect(tagMatcher([])('latest')).toBe(false);
  });

  it('agrees with a regular expression', () => {
    const text = fc.stringMatching(/^[ab.]{0,12}$/);
    fc.assert(
      fc.property(fc.stringMatching(/^[ab.*?]{0,8}$/), text, (pattern, tag) => {
        const source = pattern.replaceAll('.', '\\.').replaceAll(/\*+/g, '.*').replaceAll('?', '.');
        expect(tagMatcher([pattern])(tag)).toBe(new RegExp(`^${source}$`).test(tag));
      }),
      { numRuns: 2000 },
    );
  });

  it('does not blow up on many stars', () => {
    const startedAt = performance.now();
    expect(tagMatcher([`${'*a'.repeat(40)}b`])('a'.repeat(128))).toBe(false);
    expect(performance.now() - startedAt).toBeLessThan(1000);
  });
});
