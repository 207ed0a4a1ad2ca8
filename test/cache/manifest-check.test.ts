import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { proveManifest } from '../../src/cache/manifest-check.ts';
import { digestOf } from '../../src/oci/digest.ts';
import { mediaTypes } from '../../src/oci/media-type.ts';
import { imageManifest } from './support/fake-upstream.ts';

const image = imageManifest('image');
const sent = { bytes: image.bytes, mediaType: image.mediaType };

describe('proveManifest', () => {
  it('takes the very bytes, with their type', () => {
    const proved = proveManifest(sent, image.digest);
    expect(proved).toEqual({ digest: image.digest, mediaType: image.mediaType, bytes: image.bytes });
  });

  it('hashes with the algorithm of the expected digest, and with sha256 where nothing is expected', () => {
    const digest = digestOf(image.bytes, 'sha512');
    expect(proveManifest(sent, digest)).toMatchObject({ digest });
    expect(proveManifest(sent, undefined)).toMatchObject({ digest: image.digest });
  });

  it('refuses any single wrong byte, and any cut or added one', () => {
    const position = fc.integer({ min: 0, max: image.bytes.byteLength - 1 });
    fc.assert(
      fc.property(position, fc.integer({ min: 1, max: 255 }), (at, flip) => {
        const bytes = Uint8Array.from(image.bytes);
        bytes[at] = (bytes[at] ?? 0) ^ flip;
        for (const wrong of [bytes, image.bytes.subarray(0, at), Uint8Array.of(...image.bytes, flip)]) {
          const refusal = proveManifest({ ...sent, bytes: wrong }, image.digest);
          expect(refusal).toMatchObject({ kind: 'refused', reason: 'digest-mismatch' });
        }
      }),
      { numRuns: 500 },
    );
  });

  it('refuses an error document that a tag answers with, and takes one that was pushed', () => {
    const bytes = new TextEncoder().encode('{"errors":[{"code":"DENIED"}]}');
    const found = { bytes, mediaType: 'application/json' };
    expect(proveManifest(found, undefined)).toMatchObject({ kind: 'refused', reason: 'error-document' });
    expect(proveManifest(found, digestOf(bytes))).toMatchObject({ mediaType: 'application/json', bytes });
    const own = new TextEncoder().encode(`{"mediaType":"${mediaTypes.ociIndex}","manifests":[],"errors":[1]}`);
    expect(proveManifest({ bytes: own, mediaType: undefined }, undefined)).toMatchObject({ bytes: own });
  });

  it('never throws, and never gives a digest that is not that of the bytes', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.uint8Array(),
          fc.json().map((text) => new TextEncoder().encode(text)),
        ),
        (bytes) => {
          const proved = proveManifest({ bytes, mediaType: mediaTypes.json }, undefined);
          if (!('kind' in proved)) expect(proved.digest).toBe(digestOf(bytes));
        },
      ),
    );
  });

  it('refuses what is too large', () => {
    const bytes = new TextEncoder().encode(`{"a":"${'x'.repeat(4 * 1024 * 1024)}"}`);
    expect(proveManifest({ ...sent, bytes }, digestOf(bytes))).toMatchObject({ reason: 'too-large' });
  });
});
