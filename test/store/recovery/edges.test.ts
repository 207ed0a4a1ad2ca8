/** What stored manifests name is learnt beside serving, also of a catalog from before there were edges. */
import { expect, it } from 'vitest';
import { edgesOf } from '../../../src/oci/manifest.ts';
import { learnEdges } from '../../../src/store/recovery/edges.ts';
import { byAnybody } from '../../../src/store/contract/origin.ts';
import { buildImage } from '../../support/image-builder.ts';
import { tempDirectory } from '../../support/temp.ts';
import { openTestStore, repositoryKey, type TestStore } from '../support/harness.ts';

const image = buildImage({ seed: 'edges' });
const key = repositoryKey('a');
const layer = image.blobs[1]?.digest ?? image.digest;

async function stored({ store, catalog }: TestStore): Promise<void> {
  const { digest, bytes, mediaType } = image;
  await store.put(digest, bytes);
  catalog.recordManifest({ digest, mediaType, sizeBytes: bytes.length });
  catalog.addLink(key, digest, 'manifest', { origin: byAnybody });
}

it('a stored manifest is read once, and names its blobs from then on', async () => {
  await using temp = await tempDirectory('edges');
  await using opened = await openTestStore(temp.path);
  await opened.recovered;
  await stored(opened);
  const { catalog, store, logger } = opened;
  expect(catalog.manifestsToRead('', 9)).toEqual([image.digest]);
  expect(catalog.unreadManifests(key, 9)).toHaveLength(1);
  await learnEdges({ store, catalog, logger }, new AbortController().signal);
  expect(catalog.namedBy(key, layer, 9).map(({ digest }) => digest)).toEqual([image.digest]);
  expect(catalog.manifestsToRead('', 9)).toEqual([]);
  expect(catalog.unreadManifests(key, 9)).toEqual([]);
  expect(edgesOf(image.bytes)).toContain(layer);
});

it('is left for the next start when it is stopped, and never rejects', async () => {
  await using temp = await tempDirectory('edges');
  await using opened = await openTestStore(temp.path);
  await opened.recovered;
  await stored(opened);
  const { catalog, store, logger } = opened;
  await learnEdges({ store, catalog, logger }, AbortSignal.abort());
  expect(catalog.manifestsToRead('', 9)).toEqual([image.digest]);
  const sick = new Proxy(store, { get: () => () => Promise.reject(new Error('sick disk')) });
  await learnEdges({ store: sick, catalog, logger }, new AbortController().signal);
  expect(logger.complaints()).toEqual(['what stored manifests name was not learnt; they are read when needed']);
  expect(catalog.manifestsToRead('', 9)).toEqual([image.digest]);
});
