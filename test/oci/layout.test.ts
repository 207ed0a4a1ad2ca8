import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { isLayoutMarker, layoutIndex, layoutMarker, parseLayoutIndex } from '../../src/oci/layout.ts';
import { mediaTypes } from '../../src/oci/media-type.ts';

const entry = (name: string) => ({
  descriptor: { mediaType: mediaTypes.ociManifest, digest: digestOf(name), size: name.length },
  refName: name,
});

describe('layout', () => {
  it('writes an index that other tools read', () => {
    expect(JSON.parse(new TextDecoder().decode(layoutIndex([entry('docker.io/library/alpine:3.20')])))).toEqual({
      schemaVersion: 2,
      mediaType: 'application/vnd.oci.image.index.v1+json',
      manifests: [
        {
          ...entry('docker.io/library/alpine:3.20').descriptor,
          annotations: { 'org.opencontainers.image.ref.name': 'docker.io/library/alpine:3.20' },
        },
      ],
    });
  });

  it('reads back the names and digests that it wrote', () => {
    fc.assert(
      fc.property(fc.array(fc.string(), { maxLength: 6 }), (names) => {
        const read = parseLayoutIndex(layoutIndex(names.map(entry)));
        expect(read?.map(({ refName }) => refName)).toEqual(names);
        expect(read?.map(({ descriptor }) => descriptor.digest)).toEqual(names.map((name) => digestOf(name)));
      }),
    );
  });

  it('keeps other annotations, and an entry without a name', () => {
    const { descriptor } = entry('x');
    const annotated = { ...descriptor, annotations: { a: 'b' } };
    const read = parseLayoutIndex(layoutIndex([{ descriptor: annotated, refName: 'v1' }, { descriptor }]));
    expect(read).toEqual([
      {
        descriptor: { ...descriptor, annotations: { a: 'b', 'org.opencontainers.image.ref.name': 'v1' } },
        refName: 'v1',
      },
      { descriptor },
    ]);
  });

  it('skips unreadable entries and refuses what is no index', () => {
    const mixed = { manifests: [entry('a').descriptor, { digest: 'x' }, 7] };
    expect(parseLayoutIndex(Buffer.from(JSON.stringify(mixed)))).toEqual([{ descriptor: entry('a').descriptor }]);
    for (const text of ['', '{', '[]', '{}', '{"manifests":{}}', 'null']) {
      expect(parseLayoutIndex(Buffer.from(text))).toBeUndefined();
    }
  });

  it('knows its own marker', () => {
    expect(isLayoutMarker(Buffer.from(layoutMarker))).toBe(true);
    for (const text of ['', '{}', 'null', '{"imageLayoutVersion":"2.0.0"}']) {
      expect(isLayoutMarker(Buffer.from(text))).toBe(false);
    }
  });
});
