/** A lost catalog publishes nothing: what index.json says about origins is what a rebuilt one links by. */
import { rm, readFile, writeFile } from 'node:fs/promises';
import { expect, it } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { mediaTypes } from '../../src/oci/media-type.ts';
import { byAnybody, type Origin } from '../../src/store/origin.ts';
import { buildImage } from '../support/image-builder.ts';
import { type TempDirectory, tempDirectory } from '../support/temp.ts';
import { openTestStore, repositoryKey, tagKey, type TestStore } from './support/harness.ts';

const image = buildImage({ seed: 'origins' });
const layer = image.blobs[1]?.digest ?? image.digest;
const ours: Origin = { kind: 'credential', place: 'basic alice' };

async function put({ store, catalog }: TestStore, name: string, origin: Origin): Promise<void> {
  const key = repositoryKey(name);
  const { digest, mediaType, bytes } = image;
  await store.put(digest, bytes);
  catalog.recordManifest({ digest, mediaType, sizeBytes: bytes.length });
  catalog.addLink(key, digest, 'manifest', { origin, mediaType });
  for (const blob of image.blobs) {
    await store.put(blob.digest, blob.bytes);
    catalog.addLink(key, blob.digest, 'blob', { origin });
  }
  const record = { digest, mediaType, sizeBytes: bytes.length, checkedAtMs: 1, isDenied: false };
  catalog.putTag(tagKey(name, '1'), record);
}

async function lostCatalog(temp: TempDirectory, edit: (text: string) => string = (text) => text): Promise<void> {
  for (const suffix of ['', '-wal', '-shm']) await rm(temp.file('weir', `catalog.db${suffix}`), { force: true });
  const index = temp.file('index.json');
  await writeFile(index, edit(await readFile(index, 'utf8')));
}

async function prepared(names: readonly (readonly [string, Origin])[]): Promise<TempDirectory> {
  const temp = await tempDirectory('origins');
  const opened = await openTestStore(temp.path);
  await opened.recovered;
  for (const [name, origin] of names) await put(opened, name, origin);
  await opened.close();
  return temp;
}

it('an origin outlives the catalog, for everything below its tag', async () => {
  await using temp = await prepared([['a', ours]]);
  await lostCatalog(temp);
  await using opened = await openTestStore(temp.path);
  await opened.recovered;
  const { catalog } = opened;
  expect(catalog.link(repositoryKey('a'), image.digest, 'manifest')).toEqual({
    origin: ours,
    mediaType: image.mediaType,
  });
  expect(catalog.link(repositoryKey('a'), layer, 'blob')?.origin).toEqual(ours);
  expect(catalog.provenance(layer, 'docker.io')).toEqual({ isPublic: false, isOwn: true });
  expect(catalog.namedBy(repositoryKey('a'), layer, 9)).toHaveLength(1);
});

it('what entries of several origins lead to is linked below the strictest only', async () => {
  await using temp = await prepared([
    ['open', byAnybody],
    ['closed', ours],
  ]);
  await lostCatalog(temp);
  await using opened = await openTestStore(temp.path);
  await opened.recovered;
  const { catalog } = opened;
  expect(catalog.link(repositoryKey('closed'), layer, 'blob')?.origin).toEqual(ours);
  for (const kind of ['manifest', 'blob'] as const) {
    expect(catalog.link(repositoryKey('open'), kind === 'blob' ? layer : image.digest, kind)).toBeUndefined();
  }
  expect(catalog.tag(tagKey('open', '1'))?.digest).toBe(image.digest);
  expect(catalog.provenance(layer, 'docker.io').isPublic).toBe(false);
});

it('an entry without annotations of weir’s is an operator’s, one of an earlier weir is as strict as what is configured', async () => {
  for (const [annotation, kind] of [
    [/"weir\.[^"]*":"[^"]*",?/g, 'operator'],
    [/"weir\.origin":"[^"]*",?/g, 'credential'],
  ] as const) {
    await using temp = await prepared([['a', byAnybody]]);
    await lostCatalog(temp, (text) => text.replaceAll(annotation, ''));
    await using opened = await openTestStore(temp.path);
    await opened.recovered;
    expect(opened.catalog.link(repositoryKey('a'), layer, 'blob')?.origin.kind).toBe(kind);
  }
});

it('a media type that would end a header is not taken over from index.json, nor from an index’s child', async () => {
  await using temp = await prepared([['a', byAnybody]]);
  const evil = 'application/x\\r\\nX-Injected: yes';
  await lostCatalog(temp, (text) => text.replaceAll(mediaTypes.ociManifest, evil));
  await using opened = await openTestStore(temp.path);
  await opened.recovered;
  const { catalog } = opened;
  expect(catalog.manifest(image.digest)?.mediaType).toBe(mediaTypes.ociManifest);
  expect(catalog.link(repositoryKey('a'), image.digest, 'manifest')?.mediaType).toBe(mediaTypes.ociManifest);
  expect(catalog.tag(tagKey('a', '1'))?.mediaType).toBe(mediaTypes.ociManifest);
  expect(catalog.manifest(digestOf('nothing'))).toBeUndefined();
});
