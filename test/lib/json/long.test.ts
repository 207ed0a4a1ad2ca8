import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseLongJson } from '../../../src/lib/json/long.ts';
import { readReferrers } from '../../../src/oci/referrers.ts';
import { readTags } from '../../../src/oci/tag-list.ts';
import { parseJson } from '../../../src/lib/json/json.ts';

const bounds = { depth: 64, items: 300_000 };
const encode = (text: string): Uint8Array => new TextEncoder().encode(text);

/** So that a few bytes are a long document. */
function tiny(stepBytes: number) {
  let pauses = 0;
  const pause = (): Promise<void> => {
    pauses += 1;
    return Promise.resolve();
  };
  return { steps: { stepBytes, mostBytes: 1_000_000, pause }, pauses: () => pauses };
}

/** None with a backslash: Node's parser itself, once it has seen `{"a":0,"\\\\":0}`, takes the `"\\""` of `{"a":0,"\\"":0}` for that. */
const names = fc.constantFrom('tags', 'value', 'manifests', 'a', '\u{1f600}', '"');
const jsonValue = fc.letrec((tie) => ({
  value: fc.oneof(
    { depthSize: 'small' },
    fc.constantFrom(null, true, 1, -0.5, '', 'tags', '[,]{:}"\\', '\u{feff}x', 'ünï'),
    fc.array(tie('value'), { maxLength: 5 }),
    fc.dictionary(names, tie('value'), { maxKeys: 4 }),
  ),
})).value;
const document = fc
  .tuple(fc.dictionary(names, jsonValue, { maxKeys: 3 }), fc.array(jsonValue, { maxLength: 20 }), fc.boolean())
  .map(([around, items, isDeep]) => ({
    value: isDeep ? { value: { ...around, tags: items }, z: around } : { ...around, tags: items },
    path: isDeep ? ['value', 'tags'] : ['tags'],
  }));
const layout = fc.constantFrom(undefined, 1, '\t');

describe('a long document', () => {
  it('is what it is when it is parsed at once, whatever is in it and however small the steps', async () => {
    await fc.assert(
      fc.asyncProperty(document, layout, fc.integer({ min: 1, max: 40 }), async ({ value, path }, space, stepBytes) => {
        const text = JSON.stringify(value, undefined, space);
        expect(await parseLongJson(text, path, bounds, tiny(stepBytes).steps)).toEqual(JSON.parse(text));
      }),
      { numRuns: 500 },
    );
  });

  it('that is damaged is never taken for one that is not', async () => {
    const spoilt = fc.tuple(
      document,
      fc.nat(),
      fc.constantFrom('', ',', '[', ']', '{', '}', '"', ':', '\\', '\u{feff}'),
    );
    await fc.assert(
      fc.asyncProperty(spoilt, fc.integer({ min: 1, max: 20 }), async ([{ value, path }, place, put], stepBytes) => {
        const whole = JSON.stringify(value);
        const at = place % whole.length;
        const text = whole.slice(0, at) + put + whole.slice(at + (put === '' ? 1 : 0));
        const read = await parseLongJson(text, path, bounds, tiny(stepBytes).steps);
        if (read !== undefined) expect(read).toEqual(parseJson(encode(text), bounds));
      }),
      { numRuns: 2000 },
    );
  });

  it.each([
    ['its array twice', '{"tags":["aaaa","b"],"tags":["c"]}'],
    ['its array twice, in two', '{"value":{"tags":["aaaa"]},"value":{"tags":[]}}'],
    ['a comma at the end of its array', '{"tags":["aaaa",]}'],
    ['a comma at the start of it', '{"tags":[,"aaaa"]}'],
    ['another bracket at its end', '{"tags":["aaaa","bbbb"}}'],
    ['a mark between items', '{"tags":["aaaa",\u{feff}"bbbb"]}'],
    ['no array there', '{"tags":{"tags":["aaaa"]}}'],
    ['too many levels', `{"tags":[${'['.repeat(70)}${']'.repeat(70)}]}`],
  ])('with %s is none', async (_what, text) => {
    for (const path of [['tags'], ['value', 'tags']]) {
      expect(await parseLongJson(text, path, bounds, tiny(4).steps)).toBeUndefined();
    }
  });

  it('with much around its array, or one item that is too long, is none', async () => {
    const steps = { ...tiny(10).steps, mostBytes: 100 };
    const items = Array.from({ length: 100 }, () => 'item');
    expect(await parseLongJson(JSON.stringify({ tags: items }), ['tags'], bounds, steps)).toEqual({ tags: items });
    for (const odd of [{ tags: items, a: 'x'.repeat(100) }, { tags: [...items, 'x'.repeat(120)] }]) {
      expect(await parseLongJson(JSON.stringify(odd), ['tags'], bounds, steps)).toBeUndefined();
    }
  });

  it('lets others have their turn after each step, also when it tries to hide where a step ends', async () => {
    const { steps, pauses } = tiny(100);
    await parseLongJson(
      JSON.stringify({ tags: Array.from({ length: 100 }, () => '\\'.repeat(20)) }),
      ['tags'],
      bounds,
      steps,
    );
    // 45 bytes an item: looked through, and parsed.
    expect(pauses()).toBeGreaterThanOrEqual(2 * 40 - 10);
  });
});

describe('8 MiB', () => {
  it('are read in many steps, each of which is short', async () => {
    const index = 'application/vnd.oci.image.index.v1+json';
    // Each entry has names of its own: what costs a parser most.
    const manifests = Array.from(
      { length: 60_000 },
      (_, i) => `{"digest":"sha256:${String(i).padStart(64, '0')}","k${i}":1,"l${i}":1,"m${i}":{}}`,
    );
    const referrers = encode(`{"mediaType":"${index}","manifests":[${manifests.join(',')}]}`);
    const tags = encode(JSON.stringify({ tags: Array.from({ length: 200_000 }, (_, i) => `${i}-`.padEnd(36, 'x')) }));
    let turns = 0;
    let isOver = false;
    const count = (): void => {
      turns += 1;
      if (!isOver) setImmediate(count);
    };
    setImmediate(count);
    expect(await readReferrers(referrers, index)).toHaveLength(60_000);
    expect(await readTags(tags)).toHaveLength(200_000);
    isOver = true;
    expect(turns).toBeGreaterThan(2 * ((referrers.byteLength + tags.byteLength) / (256 * 1024)) - 20);
  });
});
