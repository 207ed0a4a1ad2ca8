/** What stored manifests name is learnt beside serving, also of a catalog from before there were edges. */
import { expect, it } from 'vitest';
import { edgesOf, readManifest } from '../../../src/oci/manifest.ts';
import { learnEdges } from '../../../src/store/recovery/edges.ts';
import { byAnybody } from '../../../src/store/contract/origin.ts';
import { buildImage } from '../../support/image-builder.ts';
import { tempDirectory } from '../../support/temp.ts';
import { openTestStore, repositoryKey, type TestStore } from '../support/harness.ts';

const image = buildImage({ seed: 'edges' });
const key = repositoryKey('a');
const layer = image.blobs[1]?.digest ?? image.digest;

async function stored({ store, metadata }: TestStore): Promise<void> {
  const { digest, bytes, mediaType } = image;
  await store.put(digest, bytes);
  metadata.manifests.record({ digest, mediaType, sizeBytes: bytes.length });
  metadata.links.add(key, digest, 'manifest', { origin: byAnybody });
}

it('a stored manifest is read once, and names its blobs from then on', async () => {
  await using temp = await tempDirectory('edges');
  await using opened = await openTestStore(temp.path);
  await opened.recovered;
  await stored(opened);
  const { metadata, store, logger } = opened;
  expect(metadata.edges.toRead('', 9)).toEqual([image.digest]);
  expect(metadata.edges.unread(key, 9)).toHaveLength(1);
  await learnEdges({ store, metadata, logger }, new AbortController().signal);
  expect(metadata.edges.namedBy(key, layer, 9).map(({ digest }) => digest)).toEqual([image.digest]);
  expect(metadata.edges.toRead('', 9)).toEqual([]);
  expect(metadata.edges.unread(key, 9)).toEqual([]);
  expect(edgesOf(readManifest(image.bytes))).toContain(layer);
});

it('is left for the next start when it is stopped, and never rejects', async () => {
  await using temp = await tempDirectory('edges');
  await using opened = await openTestStore(temp.path);
  await opened.recovered;
  await stored(opened);
  const { metadata, store, logger } = opened;
  await learnEdges({ store, metadata, logger }, AbortSignal.abort());
  expect(metadata.edges.toRead('', 9)).toEqual([image.digest]);
  const sick = new Proxy(store, { get: () => () => Promise.reject(new Error('sick disk')) });
  await learnEdges({ store: sick, metadata, logger }, new AbortController().signal);
  expect(logger.complaints()).toEqual(['what stored manifests name was not learnt; they are read when needed']);
  expect(metadata.edges.toRead('', 9)).toEqual([image.digest]);
});
