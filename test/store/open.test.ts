import { rm, stat, writeFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { silentLogger } from '../../src/lib/log.ts';
import { digestOf } from '../../src/oci/digest.ts';
import { openStoreForReading } from '../../src/store/open.ts';
import { eventually } from '../support/gate.ts';
import { expectNoLeaks, takeSnapshot } from '../support/leaks.ts';
import { tempDirectory } from '../support/temp.ts';
import { readRange, rejects } from './contract.ts';
import { blobFile, content, dumpTree, frozenClock, openTestStore, passFileTime, tagKey } from './support/harness.ts';

const forReading = (root: string): ReturnType<typeof openStoreForReading> =>
  openStoreForReading({ root, clock: frozenClock(), logger: silentLogger });

describe('an opened store', () => {
  it('gives everything back when it is closed: descriptors, timers, its thread', async () => {
    await using temp = await tempDirectory('open');
    const before = takeSnapshot();
    for (let i = 0; i < 3; i++) {
      const opened = await openTestStore(temp.path);
      const { bytes, digest } = content();
      await opened.store.put(digest, bytes);
      const kept = await opened.store.createIngest({ digest, upstream: 'u' });
      await kept.write([bytes], 0);
      opened.metadata.blobs.touch(digest);
      await Promise.all([opened.close(), opened.close()]);
      expect(opened.clock.pending).toBe(0);
    }
    await expectNoLeaks(before);
  });

  it('moves the log of its catalog into the database as it grows, beside its own thread', async () => {
    await using temp = await tempDirectory('open');
    await using opened = await openTestStore(temp.path);
    await opened.recovered;
    const { metadata } = opened;
    const database = temp.file('weir', 'catalog.db');
    let largestLog = 0;
    // In this mode nothing but a checkpoint writes the database itself.
    let { mtimeMs: writtenAt } = await stat(database);
    for (let round = 0; round < 10; round++) {
      await passFileTime();
      for (let i = 0; i < 1200; i++) {
        metadata.blobs.record({ digest: digestOf(`${round} ${i}`), sizeBytes: i, allocatedBytes: 4096 });
      }
      metadata.flush();
      const before = writtenAt;
      await eventually(
        async () => {
          writtenAt = (await stat(database)).mtimeMs;
          return writtenAt > before;
        },
        () => `no checkpoint in round ${round}`,
      );
      largestLog = Math.max(largestLog, (await stat(`${database}-wal`)).size);
    }
    expect(metadata.blobs.totals().blobs).toBe(12_000);
    // With them it stays around 1.2 MiB; without checkpoints the log holds all ten of them, 7.4 MiB.
    expect(largestLog).toBeLessThan(5 * 1024 * 1024);
  });
});

describe('a store opened for reading', () => {
  it('shows what the owner has committed, and never changes anything', async () => {
    await using temp = await tempDirectory('open');
    await using owner = await openTestStore(temp.path);
    await owner.recovered;
    const [one, two, unknown, bad] = [content(), content(), content(), content()];
    for (const { digest, bytes } of [one, bad]) await owner.store.put(digest, bytes);
    owner.metadata.flush();
    const reader = await forReading(temp.path);
    await owner.store.put(two.digest, two.bytes);
    const { digest } = one;
    owner.metadata.tags.put(tagKey('a', 'v1'), {
      digest,
      mediaType: 'a/b',
      sizeBytes: 1,
      checkedAtMs: 1,
      isDenied: false,
    });
    owner.metadata.flush();
    await owner.index.flush();
    await writeFile(blobFile(temp.path, unknown.digest), unknown.bytes);
    await rm(blobFile(temp.path, bad.digest));
    await writeFile(blobFile(temp.path, bad.digest), 'short');
    const before = await dumpTree(temp.path);

    for (const { digest: known, bytes } of [one, two]) {
      expect(await reader.store.stat(known)).toMatchObject({ isSuspect: false, sizeBytes: 1000 });
      const blob = await reader.store.open(known);
      expect(await readRange(blob, 0, 1000)).toEqual(bytes);
      await blob?.close();
    }
    expect(reader.metadata.tags.get(tagKey('a', 'v1'))).toMatchObject({ digest });
    // Only the owner knows what to make of these.
    expect(await reader.store.stat(unknown.digest)).toMatchObject({ isSuspect: true });
    expect(await reader.store.stat(bad.digest)).toBeUndefined();
    expect(await reader.store.open(bad.digest)).toBeUndefined();
    const key = { digest, upstream: 'u' };
    await rejects(reader.store.put(unknown.digest, unknown.bytes), 'sick');
    await rejects(reader.store.createIngest(key), 'sick');
    await rejects(reader.store.resumeIngest(key), 'sick');
    await rejects(reader.store.removePartial(key), 'sick');
    await rejects(reader.store.remove(digest), 'sick');
    await rejects(reader.store.quarantine(digest, 'no'), 'sick');
    await rejects(reader.store.prove(digest, 1000), 'sick');
    expect(reader.store.usage()).toMatchObject({ blobs: 3 });
    await reader.close();
    expect(await dumpTree(temp.path)).toBe(before);
    expect(owner.metadata.blobs.get(bad.digest)).toBeDefined();
  });

  it('needs a root that weir has made, and a catalog in it', async () => {
    await using temp = await tempDirectory('open');
    await rejects(forReading(temp.path), 'layout');
    await rejects(forReading(temp.file('nowhere')), 'sick');
    await (await openTestStore(temp.path)).close();
    const reader = await forReading(temp.path);
    await reader.close();
    await rm(temp.file('weir', 'catalog.db'));
    await rejects(forReading(temp.path), 'sick');
    await writeFile(temp.file('weir', 'catalog.db'), 'garbage');
    await rejects(forReading(temp.path), 'sick');
  });
});
