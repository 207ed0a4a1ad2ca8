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
    [`${ociManifest}; charset=utf-8`, { kind: 'manifest' }, ociManifest],
    [
      'application/vnd.example.thing+json',
      { kind: 'index', mediaType: ociIndex },
      'application/vnd.example.thing+json',
    ],
    ['application/json', { kind: 'index', mediaType: dockerList }, dockerList],
    ['Text/Plain; charset=utf-8', { kind: 'manifest', mediaType: dockerManifest }, dockerManifest],
    ['application/octet-stream', { kind: 'index' }, ociIndex],
    ['', { kind: 'manifest' }, ociManifest],
    [undefined, { kind: 'manifest' }, ociManifest],
    [undefined, { kind: 'other' }, 'application/json'],
    ['text/plain', { kind: 'other' }, 'text/plain'],
    [ociManifest, { kind: 'manifest', mediaType: 'application/vnd.example' }, ociManifest],
    [ociManifest, { kind: 'manifest', mediaType: ociManifest }, ociManifest],
    ['\u00a7$%', { kind: 'manifest', mediaType: ociManifest }, ociManifest],
    ['a/b c', { kind: 'index' }, ociIndex],
    [`a/${'b'.repeat(200)}`, { kind: 'manifest', mediaType: '\u2028' }, ociManifest],
  ] as const)('stores %j with the document %j as %j', (header, document, expected) => {
    expect(storedMediaType(header, document)).toEqual({ kind: 'known', mediaType: expected });
  });

  it('refuses two different manifest types', () => {
    expect(storedMediaType(`${ociManifest};x=y`, { kind: 'index', mediaType: ociIndex })).toEqual({
      kind: 'conflict',
      header: ociManifest,
      document: ociIndex,
    });
  });
});
