import { describe, expect, it } from 'vitest';
import {
  isIndexType,
  isManifestType,
  manifestAccept,
  mediaTypes,
  storedMediaType,
  stripParameters,
} from '../../src/oci/media-type.ts';

const { ociManifest, ociIndex, dockerManifest, dockerList } = mediaTypes;

describe('media type', () => {
  it('knows manifests and indexes', () => {
    for (const type of [
      ociManifest,
      ociIndex,
      dockerManifest,
      dockerList,
      mediaTypes.ociArtifact,
      mediaTypes.dockerSigned,
    ]) {
      expect(isManifestType(type)).toBe(true);
      expect(isIndexType(type)).toBe(type === ociIndex || type === dockerList);
    }
    for (const type of [mediaTypes.ociConfig, mediaTypes.octetStream, '', 'toString']) {
      expect(isManifestType(type)).toBe(false);
    }
  });

  it('asks for the four current manifest types and nothing else', () => {
    expect(manifestAccept.split(', ').toSorted()).toEqual(
      [ociManifest, ociIndex, dockerManifest, dockerList].toSorted(),
    );
  });

  it.each([
    ['application/json; charset=utf-8', 'application/json'],
    [' text/plain ;q=1', 'text/plain'],
    [ociIndex, ociIndex],
    ['', ''],
    [';', ''],
  ])('strips the parameters of %j', (value, expected) => expect(stripParameters(value)).toBe(expected));

  it.each([
    [`${ociManifest}; charset=utf-8`, { shape: 'manifest' }, ociManifest],
    [
      'application/vnd.example.thing+json',
      { shape: 'index', mediaType: ociIndex },
      'application/vnd.example.thing+json',
    ],
    ['application/json', { shape: 'index', mediaType: dockerList }, dockerList],
    ['Text/Plain; charset=utf-8', { shape: 'manifest', mediaType: dockerManifest }, dockerManifest],
    ['application/octet-stream', { shape: 'index' }, ociIndex],
    ['', { shape: 'manifest' }, ociManifest],
    [undefined, { shape: 'manifest' }, ociManifest],
    ['binary/octet-stream', { shape: 'manifest' }, ociManifest],
    ['application/json', { shape: 'schema1' }, mediaTypes.dockerUnsigned],
    [undefined, { shape: 'schema1', isSigned: true }, mediaTypes.dockerSigned],
    [mediaTypes.dockerSigned, { shape: 'schema1', isSigned: true }, mediaTypes.dockerSigned],
    [mediaTypes.ociArtifact, { shape: 'none' }, mediaTypes.ociArtifact],
    [ociManifest, { shape: 'none' }, ociManifest],
    ['application/vnd.example+json', { shape: 'none' }, 'application/vnd.example+json'],
    ['application/json', { shape: 'none', mediaType: 'application/vnd.example+json' }, 'application/vnd.example+json'],
    // Both agree, so all clients will.
    [ociIndex, { shape: 'mixed', mediaType: ociIndex }, ociIndex],
    [ociManifest, { shape: 'manifest', mediaType: 'application/vnd.example' }, ociManifest],
    [ociManifest, { shape: 'manifest', mediaType: ociManifest }, ociManifest],
    ['\u00a7$%', { shape: 'manifest', mediaType: ociManifest }, ociManifest],
    ['a/b c', { shape: 'index' }, ociIndex],
    [`a/${'b'.repeat(200)}`, { shape: 'manifest', mediaType: '\u2028' }, ociManifest],
  ] as const)('stores %j with the document %j as %j', (header, document, expected) => {
    expect(storedMediaType(header, document)).toEqual({ kind: 'known', mediaType: expected });
  });

  it('refuses two different manifest types', () => {
    expect(storedMediaType(`${ociManifest};x=y`, { shape: 'index', mediaType: ociIndex })).toEqual({
      kind: 'conflict',
      header: ociManifest,
      document: ociIndex,
    });
  });

  it.each([
    [ociIndex, { shape: 'manifest' }],
    [dockerList, { shape: 'manifest' }],
    [ociManifest, { shape: 'index' }],
    [mediaTypes.dockerSigned, { shape: 'manifest' }],
    [mediaTypes.dockerUnsigned, { shape: 'index' }],
    [ociManifest, { shape: 'schema1' }],
    [ociIndex, { shape: 'mixed' }],
    [ociManifest, { shape: 'mixed' }],
    ['image/png', { shape: 'manifest' }],
    ['image/png', { shape: 'none', mediaType: ociManifest }],
    ['text/xml', { shape: 'index' }],
    ['application/problem+json', { shape: 'schema1' }],
    ['application/vnd.api+json', { shape: 'manifest' }],
  ] as const)('refuses the header %j with the document %j', (header, document) => {
    expect(storedMediaType(header, document)).toMatchObject({ kind: 'conflict', header });
  });

  it.each([
    [undefined, { shape: 'none' }],
    ['application/json; charset=utf-8', { shape: 'none' }],
    ['text/plain', { shape: 'none' }],
    ['application/json', { shape: 'mixed' }],
    ['application/problem+json', { shape: 'none' }],
    ['application/vnd.api+json', { shape: 'none', mediaType: 'image/png' }],
    ['application/x\r\nX-Injected: yes', { shape: 'none', mediaType: 'application/vnd.x\r\ny' }],
  ] as const)('finds no manifest in the header %j and the document %j', (header, document) => {
    expect(storedMediaType(header, document)).toMatchObject({ kind: 'foreign' });
  });
});
