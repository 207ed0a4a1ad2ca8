import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { cutReferrers, readReferrers, referrersOf } from '../../src/cache/referrers-index.ts';
import { digestOf } from '../../src/oci/digest.ts';

const encode = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));
const descriptor = (mark: string, artifactType?: string, annotations?: Record<string, string>) => ({
  mediaType: 'application/vnd.oci.image.manifest.v1+json',
  digest: digestOf(mark),
  size: 7,
  ...(artifactType === undefined ? {} : { artifactType }),
  ...(annotations === undefined ? {} : { annotations }),
});
const everything = { artifactType: undefined, n: undefined, last: undefined };

describe('readReferrers', () => {
  it('keeps descriptors as they are, with what weir does not know of', () => {
    const odd = { ...descriptor('a', 'sbom'), annotations: { a: 'b' }, 'org.example': [1] };
    expect(readReferrers(encode({ manifests: [odd] }))?.map((referrer) => referrer.descriptor)).toEqual([odd]);
  });

  it('takes null for an empty list, and drops what is no descriptor', () => {
    expect(readReferrers(encode({ manifests: null }))).toEqual([]);
    const bad = [null, 7, {}, { ...descriptor('x'), digest: 'sha256:abc' }, { ...descriptor('x'), size: -1 }];
    expect(readReferrers(encode({ manifests: [...bad, descriptor('a')] }))).toHaveLength(1);
  });

  it.each([
    ['<html>'],
    [''],
    ['[]'],
    ['{}'],
    ['{"manifests":{}}'],
    ['{"errors":[]}'],
    [`{"manifests":${'['.repeat(40)}`],
  ])('refuses %s', (text) => {
    expect(readReferrers(new TextEncoder().encode(text))).toBeUndefined();
  });

  it('never throws', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.uint8Array(),
          fc.json().map((text) => new TextEncoder().encode(text)),
        ),
        (bytes) => {
          const list = readReferrers(bytes);
          expect(list === undefined || Array.isArray(list)).toBe(true);
        },
      ),
    );
  });
});

describe('cutReferrers', () => {
  const types = ['sbom', 'signature', undefined];
  const all = referrersOf(Array.from({ length: 30 }, (_, i) => descriptor(`d${i}`, types[i % 3])));

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
    expect(cutReferrers(all, { ...everything, n: 0 })).toEqual({ manifests: [], next: undefined });
  });

  it('starts again when the place to go on from is gone, rather than leave something out', () => {
    expect(cutReferrers(all, { ...everything, n: 2, last: digestOf('gone') }).manifests).toEqual(
      cutReferrers(all, { ...everything, n: 2 }).manifests,
    );
  });

  it('cuts what no client would read, by number and by size', () => {
    const many = referrersOf(Array.from({ length: 1500 }, (_, i) => descriptor(`m${i}`)));
    const first = cutReferrers(many, everything);
    expect([first.manifests.length, first.next?.n]).toEqual([1000, 1000]);
    const large = referrersOf(['a', 'b', 'c'].map((mark) => descriptor(mark, 'x', { big: 'x'.repeat(1024 * 1024) })));
    expect(cutReferrers(large, everything).manifests).toHaveLength(1);
    const huge = referrersOf([descriptor('h', 'x', { big: 'x'.repeat(3 * 1024 * 1024) })]);
    expect(cutReferrers(huge, everything)).toMatchObject({ next: undefined, manifests: [expect.anything()] });
  });
});
