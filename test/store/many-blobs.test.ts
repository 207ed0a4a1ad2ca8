import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { parseLayoutIndex } from '../../src/oci/layout.ts';
import { readManifest } from '../../src/oci/manifest.ts';
import { makeManyBlobs } from '../support/many-blobs.ts';
import { tempDirectory } from '../support/temp.ts';
import { openTestStore, repositoryKey, tagKey } from './support/harness.ts';

describe('a root made in bulk', () => {
  it('is what weir itself would have left: recovery changes nothing, and every image can be read', async () => {
    await using temp = await tempDirectory('many');
    const made = await makeManyBlobs({ root: temp.path, blobs: 200 });
    await using opened = await openTestStore(temp.path);
    expect(opened.wasClean).toBe(true);
    expect(await opened.recovered).toMatchObject({ isComplete: true, blobs: 200, reconciled: 0, forgotten: 0 });
    expect(opened.logger.complaints()).toEqual([]);
    const { store, metadata } = opened;
    expect(store.usage()).toMatchObject({ blobs: 200, blobBytes: 200 * 4096 + 180 * 320 });
    expect(made).toMatchObject({ blobs: 200, images: 20, repositories: 2 });
    for (const index of [0, 7, 19]) {
      const { repository, tag, manifest, blobs } = made.image(index);
      expect(metadata.tags.get(tagKey(repository, tag, 'lab'))?.digest).toBe(manifest);
      const bytes = await store.readAll(manifest, 10_000);
      expect(bytes && digestOf(bytes)).toBe(manifest);
      const facts = readManifest(bytes ?? new Uint8Array());
      expect(facts.kind !== 'invalid' && facts.blobs.map(({ digest }) => digest)).toEqual(blobs);
      for (const digest of blobs) {
        expect(digestOf((await store.readAll(digest, 100)) ?? '')).toBe(digest);
        expect(metadata.links.has(repositoryKey(repository, 'lab'), digest, 'blob')).toBe(true);
      }
    }
    expect(parseLayoutIndex(await readFile(temp.file('index.json')))).toHaveLength(20);
    expect(made.image(0).blobs).toContain(metadata.blobs.oldest(1)[0]?.digest);
  });

  it('may look killed, and may claim sizes that take no room on disk', async () => {
    await using temp = await tempDirectory('many');
    const made = await makeManyBlobs({ root: temp.path, blobs: 10, sparseBytes: 100 * 2 ** 30, isUnclean: true });
    await using opened = await openTestStore(temp.path);
    expect(opened.wasClean).toBe(false);
    expect(await opened.recovered).toMatchObject({ isComplete: true, blobs: 10, reconciled: 0 });
    const [digest] = made.image(0).blobs;
    expect(digest && (await opened.store.stat(digest))?.sizeBytes).toBe(100 * 2 ** 30);
    expect(opened.store.usage().blobBytes).toBeLessThan(2 ** 20);
  });
});
