import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { digestAlgorithm, digestHex, digestOf, hasher, isDigestGrammar, parseDigest } from '../../src/oci/digest.ts';

const emptySum = 'sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';
const bracesSha512 =
  'sha512:27c74670adb75075fad058d5ceaf7b20c4e7786c83bae8a32f626f9782af34c9a33c2046ef60fd2a7878d378e29fec851806bbd9a67878f3a9f1cda4830763fd';

describe('digest', () => {
  it('accepts lower-case sha256 and sha512 of the exact length', () => {
    for (const text of [emptySum, bracesSha512]) expect(parseDigest(text)).toBe(text);
  });

  it.each([
    ['', false],
    ['sha256', false],
    ['sha256:', false],
    [`${emptySum}0`, true],
    [emptySum.slice(0, -1), true],
    [emptySum.toUpperCase(), false],
    [`sha256:${'A'.repeat(64)}`, true],
    [`${emptySum}\n`, false],
    [` ${emptySum}`, false],
    ['md5:x y', false],
    ['md5:d41d8cd98f00b204e9800998ecf8427e', true],
    ['multihash+base58:QmRZxt2b1FVZPNqd8hsiykDL3TdBDeTSPX9Kv46HmX4Gx8', true],
    ['sha256:../../etc/passwd', false],
  ])('refuses %j, whose grammar is valid: %j', (text, grammatical) => {
    expect(parseDigest(text)).toBeUndefined();
    expect(isDigestGrammar(text)).toBe(grammatical);
  });

  it('takes a digest apart', () => {
    const [short, long] = [parseDigest(emptySum), parseDigest(bracesSha512)];
    if (short === undefined || long === undefined) throw new Error('the vectors must parse');
    expect([digestAlgorithm(short), digestHex(short)]).toEqual(['sha256', emptySum.slice(7)]);
    expect([digestAlgorithm(long), digestHex(long)]).toEqual(['sha512', bracesSha512.slice(7)]);
  });

  it('computes the published sums', () => {
    expect(digestOf('')).toBe(emptySum);
    expect(digestOf('{}')).toBe('sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a');
    expect(digestOf(Buffer.from('{}'), 'sha512')).toBe(bracesSha512);
  });

  it('hashes in pieces as in one, and a copy goes its own way', () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 8 }),
        fc.uint8Array({ maxLength: 40 }),
        fc.constantFrom('sha256' as const, 'sha512' as const),
        (pieces, extra, algorithm) => {
          const running = hasher(algorithm);
          for (const piece of pieces) running.update(piece);
          const copy = running.copy();
          copy.update(extra);
          expect(running.algorithm).toBe(algorithm);
          expect(running.digest()).toBe(digestOf(Buffer.concat(pieces), algorithm));
          expect(copy.digest()).toBe(digestOf(Buffer.concat([...pieces, extra]), algorithm));
        },
      ),
    );
  });

  it('parses whatever it computes', () => {
    fc.assert(
      fc.property(fc.uint8Array(), (bytes) => {
        const digest = digestOf(bytes);
        expect(parseDigest(digest)).toBe(digest);
        expect(isDigestGrammar(digest)).toBe(true);
      }),
    );
  });
});
