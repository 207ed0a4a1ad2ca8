/** Disks that are full or read-only under a running store. */
import { chmod, open, readdir, rm, truncate } from 'node:fs/promises';
import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { rejects } from '../store/contract.ts';
import { blobFile, content, ingestNames, openTestStore } from '../store/support/harness.ts';
import { frozen, smallDisk } from './support/disks.ts';

const page = 4096;

describe('a full disk', () => {
  it('(at each page of a fill) leaves nothing behind, serves hits, and takes the blob when there is room', async () => {
    await using disk = await smallDisk(4 * 1024 * 1024);
    await using opened = await openTestStore(disk.path('root'));
    const { store } = opened;
    await opened.recovered;
    opened.metadata.flush();
    const hit = content();
    await store.put(hit.digest, hit.bytes);
    let [full, done] = [0, 0];
    const large = content(randomBytes(64 * page));
    const ballast = await open(disk.path('ballast'), 'w');
    for (let pages = 0; pages <= 80; pages++) {
      // Everything but so many pages is taken.
      const { freeBytes } = await store.freeSpace();
      const { size } = await ballast.stat();
      await ballast.truncate(0);
      const room = (await store.freeSpace()).freeBytes;
      expect(room).toBeGreaterThanOrEqual(freeBytes + size - page);
      await ballast.write(Buffer.alloc(Math.max(0, room - pages * page)), 0, undefined, 0);
      const ingest = await store.createIngest({ digest: large.digest, upstream: 'u' }).catch(() => undefined);
      let hasFailed = ingest === undefined;
      for (let start = 0; !hasFailed && start < large.bytes.length; start += 8 * page) {
        const write = ingest?.write([large.bytes.subarray(start, start + 8 * page)], start);
        hasFailed = await (write ?? Promise.resolve()).then(
          () => false,
          async (error: unknown) => {
            await rejects(Promise.reject(error as Error), 'full');
            return true;
          },
        );
      }
      if (hasFailed) {
        full++;
        await ingest?.abort('given up');
      } else {
        done++;
        await ingest?.adopt(large.bytes.length);
        await store.remove(large.digest);
      }
      expect(await ingestNames(opened.root)).toEqual([]);
      expect(await readdir(`${opened.root}/blobs/sha256`)).toEqual([hit.digest.slice(7)]);
      expect(store.usage()).toMatchObject({ ingestBytes: 0, zombieBytes: 0 });
      expect(Buffer.from((await store.readAll(hit.digest, 1000)) ?? [])).toEqual(hit.bytes);
    }
    expect(full).toBeGreaterThan(50);
    expect(done).toBeGreaterThan(5);
    await ballast.close();
    await rm(disk.path('ballast'));
    await store.put(large.digest, large.bytes);
    expect(await store.stat(large.digest)).toMatchObject({ isSuspect: false });
  });

  it('lets a fill go on after room was made: the same write, repeated, succeeds', async () => {
    await using disk = await smallDisk(2 * 1024 * 1024);
    await using opened = await openTestStore(disk.path('root'));
    await opened.recovered;
    const victim = content(randomBytes(1024 * 1024));
    await opened.store.put(victim.digest, victim.bytes);
    const { bytes, digest } = content(randomBytes(1024 * 1024));
    const ingest = await opened.store.createIngest({ digest, upstream: 'u' });
    await rejects(ingest.write([bytes], 0), 'full');
    await opened.store.remove(victim.digest);
    await ingest.write([bytes], 0);
    await ingest.adopt(bytes.length);
    expect(Buffer.from((await opened.store.readAll(digest, bytes.length)) ?? [])).toEqual(bytes);
  });

  it('under the catalog costs memory of what was last said, not the daemon', async () => {
    await using disk = await smallDisk(2 * 1024 * 1024);
    await using opened = await openTestStore(disk.path('root'));
    const { metadata, store, logger } = opened;
    await opened.recovered;
    const hit = content();
    await store.put(hit.digest, hit.bytes);
    metadata.flush();
    for (let i = 0; i < 400; i++) {
      metadata.lists.put(`key ${i}`, { body: 'x'.repeat(10_000), checkedAtMs: i });
      metadata.blobs.touch(hit.digest);
      if (i % 10 === 0) metadata.flush();
    }
    metadata.flush();
    expect(logger.complaints()).toEqual(['the catalog cannot be read or written; weir goes on without']);
    expect(Buffer.from((await store.readAll(hit.digest, 1000)) ?? [])).toEqual(hit.bytes);
    expect(metadata.blobs.get(hit.digest)).toMatchObject({ sizeBytes: 1000 });
  });
});

describe('a disk that became read-only', () => {
  it('serves what is right, takes nothing, and hides what it cannot put aside', async () => {
    await using disk = await smallDisk(8 * 1024 * 1024);
    await using opened = await openTestStore(disk.path('root'));
    const { store, root } = opened;
    await opened.recovered;
    const [good, bad] = [content(), content()];
    for (const { digest, bytes } of [good, bad]) await store.put(digest, bytes);
    await chmod(blobFile(root, bad.digest), 0o644);
    await truncate(blobFile(root, bad.digest), 10);
    {
      using _blobs = frozen(`${root}/blobs`);
      using _ingest = frozen(`${root}/weir/ingest`);
      expect(await store.stat(bad.digest)).toBeUndefined();
      expect(await store.open(bad.digest)).toBeUndefined();
      expect(await store.readAll(bad.digest, 1000)).toBeUndefined();
      expect(Buffer.from((await store.readAll(good.digest, 1000)) ?? [])).toEqual(good.bytes);
      const { bytes, digest } = content();
      await rejects(store.put(digest, bytes), 'sick');
      await rejects(store.createIngest({ digest, upstream: 'u' }), 'sick');
      await rejects(store.remove(good.digest), 'sick');
      await rejects(store.quarantine(good.digest, 'a test says so'), 'sick');
      // Nobody may take it for proved any more, although it still lies there.
      expect(await store.stat(good.digest)).toMatchObject({ isSuspect: true });
    }
    const { bytes, digest } = content();
    await store.put(digest, bytes);
    expect(await store.stat(digest)).toMatchObject({ isSuspect: false });
    expect(await store.stat(bad.digest)).toBeUndefined();
    expect(await readdir(`${root}/blobs/sha256`)).toHaveLength(2);
  });
});
