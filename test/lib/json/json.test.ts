import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { jsonExcess, parseJson } from '../../../src/lib/json/json.ts';

const bytesOf = (value: unknown): Uint8Array => Buffer.from(JSON.stringify(value));

interface Size {
  readonly depth: number;
  readonly fields: number;
  readonly items: number;
}

/** Counted in what a parser makes of it. */
function sizeOf(value: unknown): Size {
  if (typeof value !== 'object' || value === null) return { depth: 0, fields: 0, items: 0 };
  const inner = Object.values(value).map(sizeOf);
  const sum = (of: (size: Size) => number): number => inner.reduce((total, size) => total + of(size), 0);
  return {
    depth: 1 + Math.max(0, ...inner.map(({ depth }) => depth)),
    fields: sum(({ fields }) => fields) + (Array.isArray(value) ? 0 : inner.length),
    // An empty one counts as one that has something.
    items: sum(({ items }) => items) + Math.max(1, inner.length),
  };
}

describe('jsonExcess', () => {
  it('counts what a parser makes of any JSON', () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 6 }), (given) => {
        const value: unknown = JSON.parse(JSON.stringify(given));
        const { depth, fields, items } = sizeOf(value);
        const bytes = bytesOf(value);
        expect(jsonExcess(bytes, { depth, fields, items })).toBeUndefined();
        if (depth > 0) expect(jsonExcess(bytes, { depth: depth - 1, fields, items })).toBe('depth');
        if (fields > 0) expect(jsonExcess(bytes, { depth, fields: fields - 1, items })).toBe('size');
        if (items > 0) expect(jsonExcess(bytes, { depth, fields, items: items - 1 })).toBe('size');
      }),
    );
  });

  it('counts names that differ, and the others once', () => {
    const different = (count: number): Uint8Array =>
      bytesOf(Array.from({ length: 1000 }, (_, index) => ({ [`name " ${index % count}`]: 'a: "b":' })));
    expect(jsonExcess(different(100), { depth: 2, names: 100 })).toBeUndefined();
    // Two of them may have one hash.
    expect(jsonExcess(different(100), { depth: 2, names: 90 })).toBe('size');
    expect(jsonExcess(different(1000), { depth: 2, names: 900 })).toBe('size');
    expect(jsonExcess(different(1000), { depth: 2 })).toBeUndefined();
  });

  it('looks into no text', () => {
    expect(jsonExcess(Buffer.from('{"a\\"[[[,,,:::":"\\\\"}'), { depth: 1, fields: 1, items: 1 })).toBeUndefined();
  });
});

describe('parseJson', () => {
  it.each(['', '{', '{"a":', 'text', '[1,]', '\ufeff{}x'])('answers undefined to what is no JSON: %j', (text) => {
    expect(parseJson(text, { depth: 8 })).toBeUndefined();
    expect(parseJson(Buffer.from(text), { depth: 8 })).toBeUndefined();
  });

  it('reads text and bytes alike, and nothing beyond its bounds', () => {
    expect(parseJson('{"a":[1]}', { depth: 2 })).toEqual({ a: [1] });
    expect(parseJson(bytesOf({ a: [1] }), { depth: 2 })).toEqual({ a: [1] });
    expect(parseJson('{"a":[1]}', { depth: 1 })).toBeUndefined();
    expect(parseJson(`[${'{},'.repeat(262_144)}{}]`, { depth: 2 })).toBeUndefined();
  });
});
