import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { cutPage, readTags } from '../../src/oci/tag-list.ts';
import { tag } from '../cache/support/policy-rig.ts';

const encode = (text: string): Uint8Array => new TextEncoder().encode(text);
const read = (value: unknown): Promise<readonly string[] | undefined> => readTags(encode(JSON.stringify(value)));
const tags = (...texts: string[]) => texts.map(tag);

const someTags = fc
  .uniqueArray(fc.stringMatching(/^[a-z0-9_][a-z0-9._-]{0,5}$/), { maxLength: 30 })
  .map((texts) => texts.toSorted().map(tag));

describe('readTags', () => {
  it('takes null for an empty list, as Go writes it', async () => {
    expect(await read({ name: 'x', tags: null })).toEqual([]);
    expect(await read({ name: 'x', tags: [] })).toEqual([]);
  });

  it('refuses very many entries before it parses them', async () => {
    expect(await readTags(encode(`{"tags":[{${'"a":1,'.repeat(1_300_000)}"b":1}]}`))).toBeUndefined();
    expect(await readTags(encode(`{"tags":["a"],"x":{"a":1}}`))).toEqual(['a']);
  });

  it('keeps the order and drops what is no tag', async () => {
    const sent = ['b', 'a', '', '-x', 'a b', '<img>', 'x'.repeat(129), '\u0000', 7, null, { a: 1 }, 'v1.0_rc-1'];
    expect(await read({ tags: sent })).toEqual(['b', 'a', 'v1.0_rc-1']);
  });

  it.each([
    ['nothing', ''],
    ['HTML', '<html>'],
    ['a list', '["a"]'],
    ['an error document', '{"errors":[]}'],
    ['tags of another kind', '{"tags":"a"}'],
    ['half a document', '{"tags":["a"'],
    ['a deep one', `{"tags":${'['.repeat(50)}${']'.repeat(50)}}`],
  ])('refuses %s', async (_what, text) => {
    expect(await readTags(encode(text))).toBeUndefined();
  });

  it('refuses more tags than anybody has', async () => {
    expect(await read({ tags: Array.from({ length: 200_001 }, () => 'a') })).toBeUndefined();
    expect(await read({ tags: Array.from({ length: 100_000 }, (_, i) => `t${i}`) })).toHaveLength(100_000);
  });

  it('never throws and gives nothing but tags', async () => {
    await fc.assert(
      fc.asyncProperty(fc.oneof(fc.uint8Array(), fc.json().map(encode)), async (bytes) => {
        for (const text of (await readTags(bytes)) ?? []) expect(text).toMatch(/^\w[\w.-]{0,127}$/);
      }),
    );
  });
});

describe('cutPage', () => {
  const all = { n: undefined, last: undefined };

  it('passes on what the upstream sent', () => {
    expect(cutPage(tags('a', 'b'), all, undefined)).toEqual({ tags: ['a', 'b'], next: undefined });
  });

  it('takes n and last of the next page from the link', () => {
    const page = cutPage(tags('a', 'b'), { n: 5, last: undefined }, '/v2/x/tags/list?last=b%2Fc&n=2');
    expect(page).toEqual({ tags: ['a', 'b'], next: { n: 2, last: 'b/c' } });
  });

  it('keeps the n of the client when the link has none', () => {
    expect(cutPage(tags('a'), { n: 1, last: undefined }, '?last=a').next).toEqual({ n: 1, last: 'a' });
    expect(cutPage(tags('a'), all, '?last=a&n=-3').next).toEqual({ n: undefined, last: 'a' });
  });

  it('goes on after the last tag where the link has a token of its own, and keeps the token', () => {
    const link = '/v2/x/tags/list?next_page=opaque';
    expect(cutPage(tags('a', 'b'), { n: 2, last: undefined }, link)).toEqual({
      tags: ['a', 'b'],
      next: { n: 2, last: 'b' },
      continuation: link,
    });
  });

  it('ends where a link leads back to the page itself, or nowhere', () => {
    for (const link of ['?last=b&n=1', '?last=', '?x=y', '']) {
      expect(cutPage([], { n: 1, last: 'b' }, link).next).toBeUndefined();
    }
  });

  it('gives each tag once and ends, also when the upstream ignores n and last', () => {
    const n = fc.integer({ min: 1, max: 10 });
    fc.assert(
      fc.property(someTags, n, fc.boolean(), (list, size, ignoresLast) => {
        const seen: string[] = [];
        let last: string | undefined;
        for (let pages = 0; pages <= list.length + 1; pages++) {
          const sent = ignoresLast || last === undefined ? list : list.filter((text) => text > (last ?? ''));
          const page = cutPage(sent, { n: size, last }, undefined);
          expect(page.tags.length).toBeLessThanOrEqual(size);
          seen.push(...page.tags);
          last = page.next?.last;
          if (last === undefined) break;
        }
        expect(last).toBeUndefined();
        expect(seen).toEqual(list);
      }),
    );
  });
});
