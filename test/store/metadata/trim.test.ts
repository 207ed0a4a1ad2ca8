import { stat } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { digestOf } from '../../../src/oci/digest.ts';
import { byAnybody } from '../../../src/store/contract/origin.ts';
import { metadataShare } from '../../../src/store/open.ts';
import { eventually } from '../../support/gate.ts';
import { type TempDirectory, tempDirectory } from '../../support/temp.ts';
import { content, openTestStore, repositoryKey, tagKey, type TestStore } from '../support/harness.ts';

const shareBytes = 512 * 1024;

/** What a HEAD of something that exists upstream leaves. */
function headed({ metadata }: TestStore, name: string): void {
  const digest = digestOf(name);
  metadata.links.add(repositoryKey(name), digest, 'manifest', { origin: byAnybody });
  metadata.manifests.record({ digest, mediaType: 'a/b', sizeBytes: 1 });
  metadata.tags.put(tagKey(name, 'v1'), { digest, mediaType: 'a/b', sizeBytes: 1, checkedAtMs: 1, isDenied: false });
}

async function settle(opened: TestStore): Promise<void> {
  opened.metadata.flush();
  // A pass takes a turn after the other; each is a step of the clock.
  for (let i = 0; i < 3000 && opened.clock.pending > 0; i++) await opened.clock.advance(20);
  opened.metadata.flush();
}

async function openSmall(temp: TempDirectory): Promise<TestStore> {
  const opened = await openTestStore(temp.path, { mostMetadataBytes: shareBytes });
  await opened.recovered;
  return opened;
}

const longName = (i: number): string => `made/up/${String(i).padStart(150, 'x')}`;

describe('the catalog of a small cache', () => {
  it('stays within its share whatever is asked for, and keeps each row whose bytes are here', async () => {
    await using temp = await tempDirectory('trim');
    await using opened = await openSmall(temp);
    const { metadata, store } = opened;
    const kept = content();
    await store.put(kept.digest, kept.bytes);
    const keptKey = repositoryKey('kept');
    metadata.links.add(keptKey, kept.digest, 'blob', { origin: byAnybody });
    metadata.tags.put(tagKey('kept', 'v1'), {
      digest: kept.digest,
      mediaType: 'a/b',
      sizeBytes: 1,
      checkedAtMs: 1,
      isDenied: false,
    });
    const arriving = await store.createIngest({ digest: digestOf('arriving'), upstream: 'docker.io' });
    metadata.links.add(repositoryKey('arriving'), digestOf('arriving'), 'blob', { origin: byAnybody });
    metadata.links.add(repositoryKey('absent'), digestOf('absent'), 'blob', { origin: byAnybody });
    for (let i = 0; i < 3000; i++) {
      if (i % 100 === 0) await opened.clock.advance(3_600_000);
      headed(opened, longName(i));
    }
    await settle(opened);
    expect(metadata.links.has(repositoryKey('absent'), digestOf('absent'), 'blob')).toBe(false);
    expect(metadata.links.has(keptKey, kept.digest, 'blob')).toBe(true);
    expect(metadata.links.has(repositoryKey('arriving'), digestOf('arriving'), 'blob')).toBe(true);
    expect(metadata.tags.get(tagKey('kept', 'v1'))?.digest).toBe(kept.digest);
    // The least recently asked for go first.
    expect(metadata.tags.get(tagKey(longName(0), 'v1'))).toBeUndefined();
    expect(metadata.links.has(repositoryKey(longName(0)), digestOf(longName(0)), 'manifest')).toBe(false);
    expect(metadata.tags.get(tagKey(longName(2999), 'v1'))).toBeDefined();
    const repositories = [...metadata.repositories.of('docker.io')].length;
    expect(repositories).toBeGreaterThan(10);
    expect(repositories).toBeLessThan(1000);
    await arriving.abort('given up');
    // What was freed is written again: the file does not grow with what is asked for.
    const { size } = await stat(temp.file('weir', 'catalog.db'));
    for (let i = 3000; i < 6000; i++) {
      headed(opened, longName(i));
      if (i % 300 === 0) await settle(opened);
    }
    await settle(opened);
    await opened.close();
    expect((await stat(temp.file('weir', 'catalog.db'))).size).toBeLessThan(size + 4 * shareBytes);
  });

  it('takes no more than its share of the room of blobs, even where no row can go', async () => {
    await using temp = await tempDirectory('trim');
    await using opened = await openSmall(temp);
    for (let i = 0; i < 5000; i++) {
      const digest = digestOf(`blob ${i}`);
      opened.metadata.blobs.record({ digest, sizeBytes: 1, allocatedBytes: 0 });
      opened.metadata.links.add(repositoryKey(longName(i)), digest, 'blob', { origin: byAnybody });
    }
    await settle(opened);
    await eventually(
      async () => {
        await opened.clock.advance(2000);
        return opened.store.usage().metadataBytes > 2 * shareBytes;
      },
      () => `${opened.store.usage().metadataBytes}`,
    );
    expect(opened.store.usage().overheadBytes).toBeLessThanOrEqual(shareBytes + 64 * 1024);
    expect(opened.metadata.links.has(repositoryKey(longName(0)), digestOf('blob 0'), 'blob')).toBe(true);
    expect(opened.clock.pending).toBeLessThan(3);
  });

  it('lets go of old listings when nothing else can go', async () => {
    await using temp = await tempDirectory('trim');
    await using opened = await openSmall(temp);
    for (let i = 0; i < 100; i++) opened.metadata.lists.put(`list ${i}`, { body: 'x'.repeat(20_000), checkedAtMs: i });
    await settle(opened);
    expect(opened.metadata.lists.get('list 0')).toBeUndefined();
    expect(opened.metadata.lists.get('list 99')?.checkedAtMs).toBe(99);
  });

  it('has a sixteenth of the cache, and at least 4 MiB', () => {
    expect(metadataShare(50 * 1024 ** 3)).toBe(3.125 * 1024 ** 3);
    expect(metadataShare(16 * 1024 ** 2)).toBe(4 * 1024 ** 2);
  });
});
