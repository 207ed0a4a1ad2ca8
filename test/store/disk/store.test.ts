import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmod, lstat, mkdir, readdir, readFile, rm, stat, symlink, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { digestOf } from '../../../src/oci/digest.ts';
import type { IngestReader } from '../../../src/store/contract/blob-store.ts';
import { eventually, within } from '../../support/gate.ts';
import { expectNoLeaks, takeSnapshot } from '../../support/leaks.ts';
import { tempDirectory } from '../../support/temp.ts';
import { readRange, storeContract } from '../contract.ts';
import { blobFile, content, dumpTree, ingestNames, openTestStore } from '../support/harness.ts';

storeContract('the disk store', async () => {
  const before = takeSnapshot();
  const temp = await tempDirectory('store');
  const opened = await openTestStore(temp.path);
  await opened.recovered;
  return {
    ...opened,
    plant: async (digest, bytes) => {
      // A file of its own: the one that is there may be open.
      await rm(blobFile(temp.path, digest), { force: true });
      await writeFile(blobFile(temp.path, digest), bytes);
    },
    dump: () => dumpTree(temp.path),
    [Symbol.asyncDispose]: async () => {
      await opened.close();
      await temp[Symbol.asyncDispose]();
      await expectNoLeaks(before);
    },
  };
});

describe('the disk store', () => {
  it('names a blob by its digest, read-only, with no ingest and no writer left', async () => {
    await using temp = await tempDirectory('store');
    await using opened = await openTestStore(temp.path);
    const { bytes, digest } = content();
    const ingest = await opened.store.createIngest({ digest, upstream: 'u' });
    await ingest.write([bytes], 0);
    const { ino, mode } = await stat(ingest.path ?? '');
    expect(mode & 0o777).toBe(0o600);
    expect(await writersOf(ino)).toBe(1);
    const info = await ingest.adopt(1000);
    expect(info.path).toBe(blobFile(temp.path, digest));
    expect(await readFile(info.path ?? '')).toEqual(bytes);
    const after = await stat(info.path ?? '');
    expect(after).toMatchObject({ ino, nlink: 1 });
    expect(after.mode & 0o7777).toBe(0o444);
    expect(await writersOf(ino)).toBe(0);
    expect(await ingestNames(temp.path)).toEqual([]);
  });

  it('has no writer left after keep and abort either', async () => {
    await using temp = await tempDirectory('store');
    await using opened = await openTestStore(temp.path);
    for (const end of ['keep', 'abort'] as const) {
      const { bytes, digest } = content();
      const ingest = await opened.store.createIngest({ digest, upstream: 'u' });
      await ingest.write([bytes], 0);
      await using reader = asDisposable(await ingest.openReader());
      const { ino } = await stat(ingest.path ?? '');
      expect(await writersOf(ino)).toBe(1);
      await (end === 'keep' ? ingest.keep([{ start: 0, end: 1000 }], 1000) : ingest.abort('given up'));
      expect(await writersOf(ino)).toBe(0);
      expect(await readRange(reader, 0, 1000)).toEqual(bytes);
    }
  });

  it('waits for writes under way before it closes the writer', async () => {
    await using temp = await tempDirectory('store');
    await using opened = await openTestStore(temp.path);
    const bytes = Buffer.alloc(32 * 1024 * 1024, 'weir');
    const digest = digestOf(bytes);
    const ingest = await opened.store.createIngest({ digest, upstream: 'u' });
    const [, info] = await Promise.all([ingest.write([bytes], 0), ingest.adopt(bytes.length)]);
    expect(info.sizeBytes).toBe(bytes.length);
    expect(digestOf(await readFile(info.path ?? ''))).toBe(digest);
  });

  it('writes more buffers than the system takes in one call', async () => {
    await using temp = await tempDirectory('store');
    await using opened = await openTestStore(temp.path);
    const bytes = randomBytes(5000);
    const ingest = await opened.store.createIngest({ digest: digestOf(bytes), upstream: 'u' });
    await ingest.write(
      [...bytes].map((_, i) => bytes.subarray(i, i + 1)),
      0,
    );
    await ingest.adopt(5000);
    expect(await readFile(blobFile(temp.path, digestOf(bytes)))).toEqual(bytes);
  });

  it('keeps a proved copy in place: the second ingest of a digest does not replace it', async () => {
    await using temp = await tempDirectory('store');
    await using opened = await openTestStore(temp.path);
    const { bytes, digest } = content();
    await opened.store.put(digest, bytes);
    const { ino } = await stat(blobFile(temp.path, digest));
    const ingest = await opened.store.createIngest({ digest, upstream: 'u' });
    await ingest.write([bytes], 0);
    await ingest.adopt(1000);
    expect((await stat(blobFile(temp.path, digest))).ino).toBe(ino);
    expect(await ingestNames(temp.path)).toEqual([]);
  });

  it('replaces what is under the name with another size, a link, a pipe or a directory', async () => {
    await using temp = await tempDirectory('store');
    await using opened = await openTestStore(temp.path);
    await opened.recovered;
    const target = temp.file('weir', 'target');
    await writeFile(target, 'not to be touched');
    for (const plant of [
      (path: string) => writeFile(path, 'short'),
      (path: string) => symlink(target, path),
      (path: string) => Promise.resolve(void execFileSync('mkfifo', [path])),
      (path: string) => mkdir(path).then(() => writeFile(join(path, 'x'), '')),
    ]) {
      const { bytes, digest } = content();
      const ingest = await opened.store.createIngest({ digest, upstream: 'u' });
      await ingest.write([bytes], 0);
      await plant(blobFile(temp.path, digest));
      await ingest.adopt(1000);
      expect(await readFile(blobFile(temp.path, digest))).toEqual(bytes);
      expect((await lstat(blobFile(temp.path, digest))).isFile()).toBe(true);
    }
    expect(await readFile(target, 'utf8')).toBe('not to be touched');
  });

  it('calls anything but a file a miss, without waiting on it, and puts it aside', async () => {
    await using temp = await tempDirectory('store');
    await using opened = await openTestStore(temp.path);
    const elsewhere = content();
    await writeFile(temp.file('weir', 'elsewhere'), elsewhere.bytes);
    for (const plant of [
      (path: string) => symlink(temp.file('weir', 'elsewhere'), path),
      (path: string) => Promise.resolve(void execFileSync('mkfifo', [path])),
      (path: string) => mkdir(path),
    ]) {
      for (const look of ['stat', 'open', 'readAll'] as const) {
        const { bytes, digest } = content();
        await plant(blobFile(temp.path, digest));
        const looked: Promise<unknown> =
          look === 'readAll' ? opened.store.readAll(digest, 10) : opened.store[look](digest);
        expect(await within(10_000, looked, () => `${look} waits`)).toBeUndefined();
        expect(await opened.store.put(digest, bytes)).toMatchObject({ isSuspect: false });
      }
    }
  });

  it('quarantines a blob that lost bytes, with the reason beside it', async () => {
    await using temp = await tempDirectory('store');
    await using opened = await openTestStore(temp.path);
    const { bytes, digest } = content();
    await opened.store.put(digest, bytes);
    await chmod(blobFile(temp.path, digest), 0o644);
    await truncate(blobFile(temp.path, digest), 10);
    expect(await opened.store.open(digest)).toBeUndefined();
    const names = (await readdir(temp.file('weir', 'quarantine'))).toSorted();
    expect(names).toEqual([
      expect.stringMatching(`^sha256-${digest.slice(7)}\\.\\d+$`),
      expect.stringMatching(/\.reason$/),
    ]);
    expect(await readFile(temp.file('weir', 'quarantine', names[1] ?? ''), 'utf8')).toBe(
      `${digest}: it has 10 bytes, 1000 were stored\n`,
    );
    expect(opened.logger.complaints()).toEqual(['a stored blob is bad and was put aside']);
    expect(opened.store.usage().blobs).toBe(0);
  });

  it('bounds the quarantine and counts it', async () => {
    await using temp = await tempDirectory('store');
    await using opened = await openTestStore(temp.path);
    await opened.recovered;
    const before = opened.store.usage().overheadBytes;
    for (let i = 0; i < 40; i++) {
      const { bytes, digest } = content();
      await opened.store.put(digest, bytes);
      await opened.store.quarantine(digest, 'a test says so');
    }
    const objects = (await readdir(temp.file('weir', 'quarantine'))).filter((name) => !name.endsWith('.reason'));
    expect(objects).toHaveLength(16);
    expect(await readdir(temp.file('weir', 'quarantine'))).toHaveLength(32);
    expect(opened.store.usage().overheadBytes - before).toBeGreaterThanOrEqual(16 * 1000);
  });

  it('notices what is deleted by hand, lets its readers finish and counts their bytes', async () => {
    await using temp = await tempDirectory('store');
    await using opened = await openTestStore(temp.path);
    const { bytes, digest } = content();
    await opened.store.put(digest, bytes);
    const reader = await opened.store.open(digest);
    await rm(blobFile(temp.path, digest));
    expect(await opened.store.open(digest)).toBeUndefined();
    expect(await opened.store.stat(digest)).toBeUndefined();
    expect(opened.store.usage()).toMatchObject({ blobs: 0, blobBytes: 0, zombieBytes: 4096 });
    await opened.store.put(digest, bytes);
    await using again = await opened.store.open(digest);
    expect(await readRange(again, 0, 1000)).toEqual(bytes);
    expect(await readRange(reader, 0, 1000)).toEqual(bytes);
    await reader?.close();
    expect(opened.store.usage()).toMatchObject({ blobs: 1, zombieBytes: 0 });
  });

  it('goes on after somebody emptied the directories under it', async () => {
    await using temp = await tempDirectory('store');
    await using opened = await openTestStore(temp.path);
    const { bytes, digest } = content();
    await opened.store.put(digest, bytes);
    await opened.recovered;
    for (const name of ['blobs/sha256', 'blobs/sha512', 'weir/ingest']) await rm(temp.file(name), { recursive: true });
    expect(await opened.store.stat(digest)).toBeUndefined();
    await opened.store.put(digest, bytes);
    expect(await opened.store.stat(digest)).toMatchObject({ isSuspect: false });
    expect(opened.store.usage()).toMatchObject({ blobs: 1 });
  });

  it('opens a blob once for all its readers', async () => {
    await using temp = await tempDirectory('store');
    await using opened = await openTestStore(temp.path);
    await opened.recovered;
    const { bytes, digest } = content();
    await opened.store.put(digest, bytes);
    const before = takeSnapshot().descriptors.length;
    const readers = await Promise.all(Array.from({ length: 100 }, () => opened.store.open(digest)));
    expect(takeSnapshot().descriptors.length - before).toBe(1);
    expect(new Set(readers.map((reader) => reader?.fd)).size).toBe(1);
    for (const reader of readers) {
      expect(await readRange(reader, 0, 1000)).toEqual(bytes);
      await reader?.close();
    }
    expect(takeSnapshot().descriptors.length).toBe(before);
  });

  it('lets readers of a blob share the descriptor of those who followed its fill', async () => {
    await using temp = await tempDirectory('store');
    await using opened = await openTestStore(temp.path);
    const { bytes, digest } = content();
    const ingest = await opened.store.createIngest({ digest, upstream: 'u' });
    await ingest.write([bytes], 0);
    const follower = await ingest.openReader();
    await ingest.adopt(1000);
    const reader = await opened.store.open(digest);
    expect(reader?.fd).toBe(follower.fd);
    await follower.close();
    expect(await readRange(reader, 0, 1000)).toEqual(bytes);
    await opened.store.remove(digest);
    expect(opened.store.usage().zombieBytes).toBe(4096);
    await reader?.close();
    expect(opened.store.usage().zombieBytes).toBe(0);
  });

  it('knows its own weight: the sum it tells is what the disk holds', async () => {
    await using temp = await tempDirectory('store');
    await using opened = await openTestStore(temp.path);
    await opened.recovered;
    const { store } = opened;
    await fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.record({
            size: fc.nat({ max: 300_000 }),
            end: fc.constantFrom('adopt', 'keep', 'abort', 'adopt-remove', 'adopt-quarantine'),
          }),
          { minLength: 1, maxLength: 6 },
        ),
        async (steps) => {
          await Promise.all(
            steps.map(async ({ size, end }) => {
              const bytes = randomBytes(size + 1);
              const ingest = await store.createIngest({ digest: digestOf(bytes), upstream: 'u' });
              await ingest.write([bytes], 0);
              if (end === 'keep') await ingest.keep([{ start: 0, end: bytes.length }], undefined);
              else if (end === 'abort') await ingest.abort('given up');
              else await ingest.adopt(bytes.length);
              if (end === 'adopt-remove') await store.remove(digestOf(bytes));
              if (end === 'adopt-quarantine') await store.quarantine(digestOf(bytes), 'a test says so');
            }),
          );
          const { blobBytes, ingestBytes, zombieBytes, blobs } = store.usage();
          expect(zombieBytes).toBe(0);
          expect(blobBytes).toBe(await diskBytes(temp.file('blobs')));
          expect(blobs).toBe((await readdir(temp.file('blobs', 'sha256'))).length);
          const parts = (await ingestNames(temp.path)).filter((name) => name.endsWith('.part'));
          const held = await Promise.all(parts.map((name) => stat(temp.file('weir', 'ingest', name))));
          expect(ingestBytes).toBe(held.reduce((sum, { blocks }) => sum + blocks * 512, 0));
        },
      ),
      { numRuns: 20 },
    );
    // The first question starts the measuring, a later one has its answer.
    await opened.clock.advance(2000);
    opened.store.usage();
    await eventually(
      () => opened.store.usage().overheadBytes > 40_000,
      () => `overhead: ${opened.store.usage().overheadBytes}`,
    );
  });
});

async function diskBytes(directory: string): Promise<number> {
  const names = await readdir(directory, { recursive: true });
  const stats = await Promise.all(names.map((name) => lstat(join(directory, name))));
  return stats.filter((each) => each.isFile()).reduce((sum, { blocks }) => sum + blocks * 512, 0);
}

/** Descriptors of this process that may write to an inode. */
async function writersOf(ino: number): Promise<number> {
  let writers = 0;
  for (const fd of await readdir('/proc/self/fd')) {
    try {
      const stats = await stat(`/proc/self/fd/${fd}`);
      const flags = /^flags:\s*([0-7]+)$/m.exec(await readFile(`/proc/self/fdinfo/${fd}`, 'utf8'))?.[1] ?? '0';
      if (stats.ino === ino && stats.isFile() && (Number.parseInt(flags, 8) & 3) !== 0) writers++;
    } catch (error) {
      // The descriptors of these very looks are closed again.
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
  }
  return writers;
}

function asDisposable(reader: IngestReader): IngestReader & AsyncDisposable {
  return { ...reader, [Symbol.asyncDispose]: () => reader.close() };
}
