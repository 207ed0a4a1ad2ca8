import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseDescriptor } from '../../src/oci/descriptor.ts';
import { digestOf } from '../../src/oci/digest.ts';
import {
  maxManifestBytes,
  maxManifestEntries,
  type ManifestFacts,
  readManifest,
  readManifestInSteps,
} from '../../src/oci/manifest.ts';
import { mediaTypes } from '../../src/oci/media-type.ts';

const bytesOf = (document: unknown): Uint8Array => Buffer.from(JSON.stringify(document));

function descriptor(content: string, mediaType: string = mediaTypes.ociLayer) {
  return { mediaType, digest: digestOf(content), size: content.length };
}

function facts(document: unknown): ManifestFacts {
  const read = readManifest(bytesOf(document));
  if (read.kind === 'invalid') throw new Error(read.message);
  return read;
}

describe('descriptor', () => {
  it('keeps what weir uses and drops the rest', () => {
    const value = {
      ...descriptor('x'),
      artifactType: 'application/vnd.example',
      annotations: { a: 'b', n: 1, __proto__: 'c' },
      platform: { os: 'linux', architecture: 'arm', variant: 'v7', features: ['x'] },
      urls: ['http://elsewhere.example'],
    };
    expect(parseDescriptor(value)).toEqual({
      ...descriptor('x'),
      artifactType: 'application/vnd.example',
      annotations: { a: 'b' },
      hasUrls: true,
      platform: { os: 'linux', architecture: 'arm', variant: 'v7' },
    });
  });

  it.each([
    [null],
    ['text'],
    [[]],
    [{}],
    [{ ...descriptor('x'), size: -1 }],
    [{ ...descriptor('x'), size: 1.5 }],
    [{ ...descriptor('x'), size: '1' }],
    [{ ...descriptor('x'), size: 2 ** 53 }],
    [{ ...descriptor('x'), digest: 'md5:d41d8cd98f00b204e9800998ecf8427e' }],
    [{ ...descriptor('x'), mediaType: 1 }],
  ])('refuses %j', (value) => expect(parseDescriptor(value)).toBeUndefined());

  it('is not fooled by inherited names', () => {
    const annotations = parseDescriptor(
      JSON.parse(`{"mediaType":"a","digest":"${digestOf('')}","size":0,"annotations":{"__proto__":"x"}}`),
    )?.annotations;
    expect(Object.entries(annotations ?? {})).toEqual([['__proto__', 'x']]);
  });
});

describe('manifest', () => {
  it('reads an image manifest', () => {
    const config = descriptor('config', mediaTypes.ociConfig);
    const layers = [descriptor('one'), descriptor('two')];
    const subject = descriptor('subject', mediaTypes.ociManifest);
    const read = facts({
      schemaVersion: 2,
      mediaType: mediaTypes.ociManifest,
      artifactType: 'application/vnd.example',
      config,
      layers,
      subject,
      annotations: { 'org.example': 'yes' },
    });
    expect(read).toEqual({
      kind: 'manifest',
      shape: 'manifest',
      mediaType: mediaTypes.ociManifest,
      artifactType: 'application/vnd.example',
      children: [],
      blobs: [config, ...layers],
      config,
      subject,
      unreadable: 0,
    });
  });

  it('reads a long one in steps, and others have their turn between them', async () => {
    const layers = Array.from({ length: 3000 }, (_, index) => descriptor(`${index}`));
    const documents = [
      [2, { config: descriptor('config'), layers }],
      [0, { config: descriptor('config'), layers: [layers[0]] }],
      [1, { text: 'x'.repeat(300_000) }, '{'],
      [0, { text: 'x'.repeat(4 * 1024 * 1024) }],
    ] as const;
    for (const [pauses, document, end = ''] of documents) {
      const bytes = Buffer.from(`${JSON.stringify(document)}${end}`);
      let paused = 0;
      const read = await readManifestInSteps(bytes, () => Promise.resolve(paused++));
      expect(read).toEqual(readManifest(bytes));
      expect(paused).toBe(pauses);
    }
  });

  it('reads an index, and counts the entries that it cannot use', () => {
    const child = descriptor('child', mediaTypes.ociManifest);
    const read = facts({ mediaType: mediaTypes.ociIndex, manifests: [child, { mediaType: 'x' }, null] });
    expect(read).toMatchObject({ kind: 'index', children: [child], blobs: [], unreadable: 2 });
  });

  it.each([
    [{ manifests: [] }, 'index'],
    [{ config: { digest: 'x' } }, 'manifest'],
    // The configuration of an image has one.
    [{ config: {} }, 'other'],
    [{ schemaVersion: 1, fsLayers: [] }, 'other'],
    [{ layers: [] }, 'manifest'],
    [{ mediaType: mediaTypes.ociIndex }, 'index'],
    [{ mediaType: mediaTypes.dockerManifest, layers: null }, 'manifest'],
    [{ mediaType: 'application/vnd.example', manifests: [] }, 'index'],
    [{}, 'other'],
    [{ manifests: null, layers: 'no' }, 'other'],
  ])('takes %j for an %s', (document, kind) => expect(facts(document).kind).toBe(kind));

  it('reads the blobs of an artifact manifest', () => {
    expect(facts({ mediaType: mediaTypes.ociArtifact, blobs: [descriptor('b')] }).blobs).toEqual([descriptor('b')]);
  });

  it.each([
    ['', 'not-json'],
    ['<html></html>', 'not-json'],
    ['{"a":', 'not-json'],
    ['{}{}', 'not-json'],
    ['[]', 'not-an-object'],
    ['null', 'not-an-object'],
    ['"text"', 'not-an-object'],
    [`${'{"a":'.repeat(33)}1${'}'.repeat(33)}`, 'too-deep'],
    ['['.repeat(1_000_000), 'too-deep'],
    [`{"a":"${'x'.repeat(maxManifestBytes)}"}`, 'too-large'],
    [`{"a":[${'{},'.repeat(262_144)}{}]}`, 'too-many-entries'],
    [`{${Array.from({ length: 70_000 }, (_, i) => `"${i}":0`).join(',')}}`, 'too-many-entries'],
    [`{"layers":[${'0,'.repeat(maxManifestEntries)}0]}`, 'too-many-entries'],
  ])('refuses a bad document (case %#)', (text, problem) => {
    expect(readManifest(Buffer.from(text))).toMatchObject({ kind: 'invalid', problem });
  });

  it('accepts the limits themselves', () => {
    expect(readManifest(Buffer.from(`${'{"a":'.repeat(32)}1${'}'.repeat(32)}`)).kind).toBe('other');
    const padding = 'x'.repeat(maxManifestBytes - '{"a":""}'.length);
    expect(readManifest(Buffer.from(`{"a":"${padding}"}`)).kind).toBe('other');
    expect(readManifest(Buffer.from(`{"layers":[${'0,'.repeat(maxManifestEntries - 1)}0]}`)).kind).toBe('manifest');
  });

  it('never throws', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => void readManifest(bytes)));
    fc.assert(fc.property(fc.json(), (text) => void readManifest(Buffer.from(text))));
  });
});
