import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { admitsRange, etagOf, matchesEtag } from '../../src/headers/etag.ts';
import { digestOf } from '../../src/oci/digest.ts';

const digest = digestOf('content');
const other = digestOf('other');

describe('If-None-Match', () => {
  it.each([
    [`"${digest}"`, true],
    [digest, true],
    [`W/"${digest}"`, true],
    [`"${other}", "${digest}"`, true],
    [`${other},${digest}`, true],
    ['*', true],
    [`"x", *`, true],
    [`"${other}"`, false],
    ['""', false],
    ['', false],
    [`"${digest.slice(0, -1)}"`, false],
    [`w/"${digest}"`, false],
    [digest.toUpperCase(), false],
  ])('%s: %s', (header, expected) => {
    expect(matchesEtag(header, digest)).toBe(expected);
  });

  it('absent is no match', () => {
    expect(matchesEtag(undefined, digest)).toBe(false);
  });

  it('never matches text that does not hold the digest or a star', () => {
    fc.assert(
      fc.property(fc.string(), (header) => {
        fc.pre(!header.includes(digest) && !header.includes('*'));
        expect(matchesEtag(header, digest)).toBe(false);
      }),
    );
  });
});

describe('If-Range', () => {
  it('admits a range for the strong tag, and when it is absent', () => {
    expect(admitsRange(undefined, digest)).toBe(true);
    expect(admitsRange(etagOf(digest), digest)).toBe(true);
  });

  it.each([`W/"${digest}"`, `"${other}"`, 'Wed, 21 Oct 2026 07:28:00 GMT', '', '*', digest])(
    '%s does not',
    (header) => {
      expect(admitsRange(header, digest)).toBe(false);
    },
  );
});
