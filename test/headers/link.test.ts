import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatNextLink, nextLink, parseLinks } from '../../src/headers/link.ts';

describe('link header', () => {
  it.each([
    ['</v2/a/tags/list?n=2&last=b>; rel="next"', '/v2/a/tags/list?n=2&last=b'],
    ['<https://h/v2/a?x=1,2>;rel=next', 'https://h/v2/a?x=1,2'],
    ['< /a > ; REL = "prev NEXT"', '/a'],
    ['</p>; rel="prev", </n>; title="a, \\"b\\"; c"; rel="next"', '/n'],
    ['</n>; rel="next"; rel="prev"', '/n'],
    [',, </n>;rel=next', '/n'],
    ['</p>; rel="prev"', undefined],
    ['</p>; rel="prev"; rel="next"', undefined],
    ['</p>', undefined],
    ['</n; rel="next"', undefined],
    ['/n; rel="next"', undefined],
    ['</n>; title="unterminated; rel=next', undefined],
    ['', undefined],
  ])('finds in %j the next page %j', (header, expected) => expect(nextLink(header)).toBe(expected));

  it('reads several links', () => {
    expect(parseLinks('<a>; rel=one, <b>; rel="two three"')).toEqual([
      { target: 'a', relations: ['one'] },
      { target: 'b', relations: ['two', 'three'] },
    ]);
  });

  it('reads what it writes, whatever the values are', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.string(), fc.string({ unit: 'grapheme' })), { minLength: 1 }), (query) => {
        const target = nextLink(formatNextLink('/v2/a/tags/list', query)) ?? '';
        const url = new URL(target, 'http://h');
        expect(url.pathname).toBe('/v2/a/tags/list');
        expect([...url.searchParams]).toEqual(query);
      }),
    );
  });

  it('ends on every input', () => {
    fc.assert(fc.property(fc.stringMatching(/^[<>;=", \\a]{0,40}$/), (text) => void parseLinks(text)));
    expect(parseLinks(`${'<a>;'.repeat(100_000)}`)).toEqual([]);
  });
});
