import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { proveManifest } from '../../../src/cache/manifests/verify.ts';
import { digestOf } from '../../../src/oci/digest.ts';
import { mediaTypes } from '../../../src/oci/media-type.ts';
import { imageManifest } from '../support/fake-upstream.ts';

const image = imageManifest('image');
const sent = { bytes: image.bytes, mediaType: image.mediaType };

describe('proveManifest', () => {
  it('takes the very bytes, with their type', async () => {
    const proved = await proveManifest(sent, image.digest);
    expect(proved).toEqual({ digest: image.digest, mediaType: image.mediaType, bytes: image.bytes });
  });

  it('hashes with the algorithm of the expected digest, and with sha256 where nothing is expected', async () => {
    const digest = digestOf(image.bytes, 'sha512');
    expect(await proveManifest(sent, digest)).toMatchObject({ digest });
    expect(await proveManifest(sent, undefined)).toMatchObject({ digest: image.digest });
  });

  it('refuses any single wrong byte, and any cut or added one', async () => {
    const position = fc.integer({ min: 0, max: image.bytes.byteLength - 1 });
    await fc.assert(
      fc.asyncProperty(position, fc.integer({ min: 1, max: 255 }), async (at, flip) => {
        const bytes = Uint8Array.from(image.bytes);
        bytes[at] = (bytes[at] ?? 0) ^ flip;
        for (const wrong of [bytes, image.bytes.subarray(0, at), Uint8Array.of(...image.bytes, flip)]) {
          const refusal = await proveManifest({ ...sent, bytes: wrong }, image.digest);
          expect(refusal).toMatchObject({ kind: 'refused', reason: 'digest-mismatch' });
        }
      }),
      { numRuns: 500 },
    );
  });

  const bytesOf = (document: object): Uint8Array => new TextEncoder().encode(JSON.stringify(document));

  it.each([
    ['an error document', { errors: [{ code: 'DENIED' }] }, 'error-document'],
    ['a portal', { captive: 'portal' }, 'not-a-manifest'],
    ['credentials of a metadata service', { Code: 'Success', AccessKeyId: 'x', Token: 'y' }, 'not-a-manifest'],
    ['the configuration of an image', { architecture: 'amd64', config: { Cmd: ['x'] }, rootfs: {} }, 'not-a-manifest'],
  ])('refuses %s, by tag and by digest, also where its digest was announced', async (_, document, reason) => {
    const bytes = bytesOf(document);
    for (const mediaType of ['application/json', 'text/plain', undefined]) {
      for (const expected of [undefined, digestOf(bytes)]) {
        expect(await proveManifest({ bytes, mediaType }, expected)).toMatchObject({ kind: 'refused', reason });
      }
    }
  });

  it('takes what calls itself a manifest, whatever else is in it', async () => {
    const own = bytesOf({ mediaType: mediaTypes.ociIndex, manifests: [], errors: [1] });
    expect(await proveManifest({ bytes: own, mediaType: undefined }, undefined)).toMatchObject({ bytes: own });
  });

  const child = { mediaType: mediaTypes.ociManifest, digest: image.digest, size: 1 };
  const layer = { mediaType: mediaTypes.ociLayer, digest: image.digest, size: 1 };

  it.each([
    [
      'a manifest without mediaType as an index',
      { schemaVersion: 2, config: layer, layers: [layer] },
      mediaTypes.ociIndex,
    ],
    ['an index without mediaType as a manifest', { schemaVersion: 2, manifests: [child] }, mediaTypes.ociManifest],
    ['a manifest as schema 1', { schemaVersion: 2, config: layer, layers: [layer] }, mediaTypes.dockerSigned],
    ['schema 1 as a manifest', { schemaVersion: 1, fsLayers: [] }, mediaTypes.dockerManifest],
    ['a manifest as a picture', { schemaVersion: 2, config: layer, layers: [layer] }, 'image/png'],
    ['both at once', { schemaVersion: 2, manifests: [child], layers: [layer] }, mediaTypes.ociIndex],
  ])('refuses %s: header and document contradict each other', async (_, document, mediaType) => {
    const bytes = bytesOf(document);
    for (const expected of [undefined, digestOf(bytes)]) {
      const refusal = await proveManifest({ bytes, mediaType }, expected);
      expect(refusal).toMatchObject({ kind: 'refused', reason: 'media-type-conflict' });
      expect('message' in refusal && refusal.message).toContain(mediaType);
    }
  });

  it('never throws, and never gives a digest that is not that of the bytes', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(
          fc.uint8Array(),
          fc.json().map((text) => new TextEncoder().encode(text)),
        ),
        async (bytes) => {
          const proved = await proveManifest({ bytes, mediaType: mediaTypes.json }, undefined);
          if (!('kind' in proved)) expect(proved.digest).toBe(digestOf(bytes));
        },
      ),
    );
  });

  it('refuses what is too large', async () => {
    const bytes = new TextEncoder().encode(`{"a":"${'x'.repeat(4 * 1024 * 1024)}"}`);
    expect(await proveManifest({ ...sent, bytes }, digestOf(bytes))).toMatchObject({ reason: 'too-large' });
  });
});
