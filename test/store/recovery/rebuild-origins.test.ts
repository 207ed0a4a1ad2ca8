/** A lost catalog publishes nothing: what index.json says about origins is what a rebuilt one links by. */
import { rm, readFile, writeFile } from 'node:fs/promises';
import { expect, it } from 'vitest';
import { digestOf } from '../../../src/oci/digest.ts';
import { parseLayoutIndex } from '../../../src/oci/layout.ts';
import { edgesOf, readManifest } from '../../../src/oci/manifest.ts';
import { mediaTypes } from '../../../src/oci/media-type.ts';
import { byAnybody, type Origin } from '../../../src/store/contract/origin.ts';
import { type BuiltManifest, buildImage, buildIndex } from '../../support/image-builder.ts';
import { type TempDirectory, tempDirectory } from '../../support/temp.ts';
import { openTestStore, repositoryKey, tagKey, type TestStore } from '../support/harness.ts';

const image = buildImage({ seed: 'origins' });
const layer = image.blobs[1]?.digest ?? image.digest;
const ours: Origin = { kind: 'credential', place: 'basic alice' };

/** As a pull of all of it does. */
async function pull(opened: TestStore, name: string, origin: Origin, manifest: BuiltManifest): Promise<void> {
  const { store, metadata } = opened;
  const key = repositoryKey(name);
  const { digest, mediaType, bytes } = manifest;
  await store.put(digest, bytes);
  metadata.manifests.record({ digest, mediaType, sizeBytes: bytes.length });
  metadata.edges.record(digest, edgesOf(readManifest(bytes)));
  metadata.links.add(key, digest, 'manifest', { origin, mediaType });
  for (const child of manifest.children) await pull(opened, name, origin, child);
  for (const blob of manifest.blobs) {
    await store.put(blob.digest, blob.bytes);
    metadata.links.add(key, blob.digest, 'blob', { origin });
  }
}

async function put(opened: TestStore, name: string, origin: Origin, manifest = image, isDenied = false): Promise<void> {
  await pull(opened, name, origin, manifest);
  const { digest, mediaType, bytes } = manifest;
  const record = { digest, mediaType, sizeBytes: bytes.length, checkedAtMs: 1, isDenied };
  opened.metadata.tags.put(tagKey(name, '1'), record);
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
  const { metadata } = opened;
  expect(metadata.links.get(repositoryKey('a'), image.digest, 'manifest')).toEqual({
    origin: ours,
    mediaType: image.mediaType,
  });
  expect(metadata.links.get(repositoryKey('a'), layer, 'blob')?.origin).toEqual(ours);
  expect(metadata.provenance.get(layer, 'docker.io')).toEqual({ isPublic: false, isOwn: true });
  expect(metadata.edges.namedBy(repositoryKey('a'), layer, 9)).toHaveLength(1);
});

it('what entries of several origins lead to is linked below the strictest only', async () => {
  await using temp = await prepared([
    ['open', byAnybody],
    ['closed', ours],
  ]);
  await lostCatalog(temp);
  await using opened = await openTestStore(temp.path);
  await opened.recovered;
  const { metadata } = opened;
  expect(metadata.links.get(repositoryKey('closed'), layer, 'blob')?.origin).toEqual(ours);
  for (const kind of ['manifest', 'blob'] as const) {
    expect(metadata.links.get(repositoryKey('open'), kind === 'blob' ? layer : image.digest, kind)).toBeUndefined();
  }
  expect(metadata.tags.get(tagKey('open', '1'))?.digest).toBe(image.digest);
  expect(metadata.provenance.get(layer, 'docker.io').isPublic).toBe(false);
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
    expect(opened.metadata.links.get(repositoryKey('a'), layer, 'blob')?.origin.kind).toBe(kind);
  }
});

it('a media type that would end a header is not taken over from index.json, nor from an index’s child', async () => {
  await using temp = await prepared([['a', byAnybody]]);
  const evil = 'application/x\\r\\nX-Injected: yes';
  await lostCatalog(temp, (text) => text.replaceAll(mediaTypes.ociManifest, evil));
  await using opened = await openTestStore(temp.path);
  await opened.recovered;
  const { metadata } = opened;
  expect(metadata.manifests.get(image.digest)?.mediaType).toBe(mediaTypes.ociManifest);
  expect(metadata.links.get(repositoryKey('a'), image.digest, 'manifest')?.mediaType).toBe(mediaTypes.ociManifest);
  expect(metadata.tags.get(tagKey('a', '1'))?.mediaType).toBe(mediaTypes.ociManifest);
  expect(metadata.manifests.get(digestOf('nothing'))).toBeUndefined();
});

/** One layer is in both. */
const base = buildImage({ seed: 'shared', layers: [100, 50] });
const derived = buildImage({ seed: 'shared', layers: [101, 50] });
const shared = base.blobs.find(({ bytes, digest }) => bytes.length === 50 && has(derived, digest))?.digest;

function has({ blobs }: BuiltManifest, digest: string): boolean {
  return blobs.some((blob) => blob.digest === digest);
}

it.each([
  ['that was pulled by digest alone', (opened: TestStore) => pull(opened, 'closed', ours, base)],
  ['whose tag is denied', (opened: TestStore) => put(opened, 'closed', ours, base, true)],
])('a private image %s keeps its links, and no public one gets its layers', async (_, bring) => {
  if (shared === undefined) throw new Error('nothing is shared');
  await using temp = await tempDirectory('origins');
  await using first = await openTestStore(temp.path);
  await first.recovered;
  await bring(first);
  await put(first, 'open', byAnybody, derived);
  await first.close();
  await lostCatalog(temp);
  await using opened = await openTestStore(temp.path);
  await opened.recovered;
  const { metadata } = opened;
  const closed = repositoryKey('closed');
  expect(metadata.links.get(closed, base.digest, 'manifest')).toEqual({ origin: ours, mediaType: base.mediaType });
  expect(metadata.links.get(closed, shared, 'blob')?.origin).toEqual(ours);
  expect(metadata.tags.of(closed)).toEqual([]);
  expect(metadata.links.get(repositoryKey('open'), derived.digest, 'manifest')?.origin).toEqual(byAnybody);
  expect(metadata.links.get(repositoryKey('open'), shared, 'blob')).toBeUndefined();
  expect(metadata.provenance.get(shared, 'docker.io').isPublic).toBe(false);
});

it('index.json has an entry for what no other entry leads to, and for nothing else', async () => {
  const index = buildIndex([base, derived]);
  await using temp = await tempDirectory('origins');
  await using opened = await openTestStore(temp.path);
  await opened.recovered;
  const entries = async (): Promise<unknown> => {
    opened.metadata.flush();
    await opened.index.flush();
    const read = parseLayoutIndex(await readFile(temp.file('index.json'))) ?? [];
    return read.map(({ descriptor: { digest, annotations = {} }, refName }) => {
      const { 'weir.repository': where, 'weir.origin': origin } = annotations;
      return { digest, refName, where, origin };
    });
  };
  await pull(opened, 'a', byAnybody, index);
  const unnamed = { digest: index.digest, refName: undefined, where: 'docker.io/a', origin: 'anonymous' };
  expect(await entries()).toEqual([unnamed]);
  // A child on another word would get another origin from the walk.
  await pull(opened, 'b', ours, index);
  opened.metadata.links.add(repositoryKey('b'), base.digest, 'manifest', { origin: byAnybody });
  const other = { ...unnamed, where: 'docker.io/b' };
  const all = [unnamed, { ...other, origin: 'credential basic alice' }, { ...other, digest: base.digest }];
  expect(await entries()).toEqual(expect.arrayContaining(all));
  expect(await entries()).toHaveLength(all.length);
  await put(opened, 'a', byAnybody, index);
  expect(await entries()).toContainEqual({ ...unnamed, refName: 'docker.io/a:1', where: undefined });
  expect(await entries()).toHaveLength(all.length);
});
