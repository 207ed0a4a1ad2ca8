import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { cutReferrers, readReferrers, type Referrer, referrersOf } from '../../src/oci/referrers.ts';
import { digestOf } from '../../src/oci/digest.ts';

const encode = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));
const descriptor = (mark: string, artifactType?: string, annotations?: Record<string, string>) => ({
  mediaType: 'application/vnd.oci.image.manifest.v1+json',
  digest: digestOf(mark),
  size: 7,
  ...(artifactType === undefined ? {} : { artifactType }),
  ...(annotations === undefined ? {} : { annotations }),
});
const index = 'application/vnd.oci.image.index.v1+json';
/** Has no artifactType unless it says so; an image manifest has one in any case. */
const isIndex = { mediaType: index };
const listOf = (descriptors: readonly unknown[]): readonly Referrer[] => {
  const list = referrersOf(descriptors);
  if (list === undefined) throw new Error('a descriptor cannot be read');
  return list;
};
const everything = { artifactType: undefined, n: undefined, last: undefined };

describe('readReferrers', () => {
  it('refuses very many entries before it parses them', async () => {
    const text = `{"mediaType":"${index}","manifests":[${'{},'.repeat(2_600_000)}{}]}`;
    expect(await readReferrers(new TextEncoder().encode(text), index)).toBeUndefined();
    expect(await readReferrers(encode({ mediaType: index, manifests: [descriptor('a')] }), index)).toHaveLength(1);
  });

  it('keeps descriptors as they are, with what weir does not know of', async () => {
    const odd = { ...descriptor('a', 'sbom'), annotations: { a: 'b' }, 'org.example': [1] };
    const other = { mediaType: 'x/y', digest: 'blake3:abc', size: -1 };
    const list = await readReferrers(encode({ manifests: [odd, other] }), index);
    expect(list?.map((referrer) => referrer.descriptor)).toEqual([odd, other]);
  });

  it('takes null for an empty list', async () => {
    expect(await readReferrers(encode({ manifests: null }), index)).toEqual([]);
  });

  it.each([[null], [7], [{}], [[]], ['sha256:abc'], [{ ...descriptor('x'), digest: 'abc' }], [{ digest: 7 }]])(
    'refuses a list with an entry like %j, rather than leave one out',
    async (bad) => {
      expect(await readReferrers(encode({ manifests: [descriptor('a'), bad] }), index)).toBeUndefined();
    },
  );

  it.each([
    [index, undefined, true],
    [`${index}; charset=utf-8`, undefined, true],
    ['application/json', index, true],
    [undefined, index, true],
    ['application/json', undefined, false],
    ['application/json', 'application/vnd.oci.image.manifest.v1+json', false],
    [undefined, undefined, false],
  ])('of type %s, calling itself %s, is an index: %s', async (contentType, mediaType, isIndex) => {
    const list = await readReferrers(encode({ mediaType, manifests: [] }), contentType);
    expect(list !== undefined).toBe(isIndex);
  });

  it.each([
    ['<html>'],
    [''],
    ['[]'],
    ['{}'],
    ['{"manifests":{}}'],
    ['{"errors":[]}'],
    [`{"manifests":${'['.repeat(40)}`],
  ])('refuses %s', async (text) => {
    expect(await readReferrers(new TextEncoder().encode(text), index)).toBeUndefined();
  });

  it('never throws', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(
          fc.uint8Array(),
          fc.json().map((text) => new TextEncoder().encode(text)),
        ),
        async (bytes) => {
          const list = await readReferrers(bytes, index);
          expect(list === undefined || Array.isArray(list)).toBe(true);
        },
      ),
    );
  });
});

describe('cutReferrers', () => {
  const types = ['sbom', 'signature', undefined];
  const all = listOf(
    Array.from({ length: 30 }, (_, i) => ({ ...descriptor(`d${i}`, types[i % 3]), ...(i % 3 === 2 && isIndex) })),
  );

  it('filters by artifactType exactly', () => {
    const { manifests, next } = cutReferrers(all, { ...everything, artifactType: 'sbom' });
    expect([manifests.length, next]).toEqual([10, undefined]);
    expect(cutReferrers(all, { ...everything, artifactType: 'sb' }).manifests).toEqual([]);
  });

  it('gives each of the matching ones once, in order, and ends', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 40 }), fc.constantFrom(...types), (n, artifactType) => {
        const seen: unknown[] = [];
        let last: string | undefined;
        for (let pages = 0; pages <= all.length; pages++) {
          const page = cutReferrers(all, { artifactType, n, last });
          expect(page.manifests.length).toBeLessThanOrEqual(n);
          seen.push(...page.manifests);
          last = page.next?.last;
          if (last === undefined) break;
        }
        const expected = all.filter((one) => artifactType === undefined || one.artifactType === artifactType);
        expect(seen).toEqual(expected.map((one) => one.descriptor));
      }),
    );
  });

  it('of nothing is empty and ends', () => {
    expect(cutReferrers([], everything)).toEqual({ manifests: [], next: undefined, isFiltered: false });
  });

  it('is never a page of none, which would look like a list of none', () => {
    expect(cutReferrers(all, { ...everything, n: 0 }).manifests).toHaveLength(30);
  });

  it('filters nothing where the type of an image manifest is not told, and says so', () => {
    const query = { ...everything, artifactType: 'sbom' };
    expect(cutReferrers(all, query).isFiltered).toBe(true);
    for (const untold of [descriptor('x'), { ...descriptor('x'), artifactType: '' }]) {
      const page = cutReferrers([...all, ...listOf([untold])], query);
      expect([page.isFiltered, page.manifests.length]).toEqual([false, 31]);
    }
  });

  it('starts again when the place to go on from is gone, rather than leave something out', () => {
    expect(cutReferrers(all, { ...everything, n: 2, last: digestOf('gone') }).manifests).toEqual(
      cutReferrers(all, { ...everything, n: 2 }).manifests,
    );
  });

  it('cuts what no client would read, by number and by size', () => {
    const many = listOf(Array.from({ length: 1500 }, (_, i) => descriptor(`m${i}`)));
    const first = cutReferrers(many, everything);
    expect([first.manifests.length, first.next?.n]).toEqual([1000, 1000]);
    const large = listOf(['a', 'b', 'c'].map((mark) => descriptor(mark, 'x', { big: 'x'.repeat(1024 * 1024) })));
    expect(cutReferrers(large, everything).manifests).toHaveLength(1);
    const huge = listOf([descriptor('h', 'x', { big: 'x'.repeat(3 * 1024 * 1024) })]);
    expect(cutReferrers(huge, everything)).toMatchObject({ next: undefined, manifests: [expect.anything()] });
  });
});
