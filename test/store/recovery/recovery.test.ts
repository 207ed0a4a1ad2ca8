import { chmod, link, mkdir, readdir, readFile, rm, stat, truncate, utimes, writeFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { digestOf } from '../../../src/oci/digest.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { type TempDirectory, tempDirectory } from '../../support/temp.ts';
import { readRange } from '../contract.ts';
import { blobFile, content, type Content, ingestNames, openTestStore, type TestStore } from '../support/harness.ts';

const upstream = 'docker.io';
const dayMs = 86_400_000;

/** A root that was closed in order, with what `prepare` did to it. */
async function rootWith(prepare: (opened: TestStore) => Promise<void>): Promise<TempDirectory> {
  const temp = await tempDirectory('recovery');
  const opened = await openTestStore(temp.path);
  await opened.recovered;
  await prepare(opened);
  await opened.close();
  return temp;
}

/** The same after an unclean stop. */
async function killedRootWith(prepare: (opened: TestStore) => Promise<void>): Promise<TempDirectory> {
  const temp = await rootWith(prepare);
  await rm(temp.file('weir', 'clean'));
  return temp;
}

async function keepPartial(opened: TestStore, { digest, bytes }: Content, length: number): Promise<void> {
  const ingest = await opened.store.createIngest({ digest, upstream });
  await ingest.write([bytes.subarray(0, length)], 0);
  await ingest.keep([{ start: 0, end: length }], bytes.length);
}

describe('partials after a restart', () => {
  it('are continued, whether the scan has seen them or not', async () => {
    const blobs = Array.from({ length: 20 }, () => content());
    await using temp = await killedRootWith(async (opened) => {
      for (const blob of blobs) await keepPartial(opened, blob, 400);
    });
    for (const waits of [false, true]) {
      const opened = await openTestStore(temp.path);
      if (waits) await opened.recovered;
      for (const { digest, bytes } of waits ? blobs.slice(10) : blobs.slice(0, 10)) {
        const ingest = await opened.store.resumeIngest({ digest, upstream });
        expect(ingest?.resumed).toEqual([{ start: 0, end: 400 }]);
        expect(ingest?.claimedSizeBytes).toBe(1000);
        expect(opened.store.usage().ingestBytes).toBeGreaterThanOrEqual(4096);
        const reader = await ingest?.openReader();
        expect(await readRange(reader, 0, 400)).toEqual(bytes.subarray(0, 400));
        await reader?.close();
        await ingest?.write([bytes.subarray(400)], 400);
        await ingest?.adopt(1000);
        expect(await readFile(blobFile(temp.path, digest))).toEqual(bytes);
      }
      await opened.recovered;
      expect(opened.store.partials()).toHaveLength(waits ? 0 : 10);
      await opened.close();
    }
    expect(await ingestNames(temp.path)).toEqual([]);
  });

  it('are trusted as far as they were synced, and not a byte further', async () => {
    const { bytes, digest } = content();
    await using temp = await killedRootWith(async ({ store }) => {
      const ingest = await store.createIngest({ digest, upstream });
      await ingest.write([bytes.subarray(0, 300)], 0);
      await ingest.sync([{ start: 0, end: 300 }], 1000);
      await ingest.write([bytes.subarray(300)], 300);
      // The store is closed over it, which is what a kill looks like to the next start.
    });
    await using opened = await openTestStore(temp.path);
    const ingest = await opened.store.resumeIngest({ digest, upstream });
    expect(ingest?.resumed).toEqual([{ start: 0, end: 300 }]);
    await ingest?.abort('given up');
    expect(await ingestNames(temp.path)).toEqual([]);
  });

  it('that never synced leave nothing to resume and are removed', async () => {
    const { bytes, digest } = content();
    await using temp = await killedRootWith(async ({ store }) => {
      const ingest = await store.createIngest({ digest, upstream });
      await ingest.write([bytes], 0);
    });
    expect(await ingestNames(temp.path)).toHaveLength(1);
    await using opened = await openTestStore(temp.path);
    expect(await opened.store.resumeIngest({ digest, upstream })).toBeUndefined();
    await opened.recovered;
    expect(await ingestNames(temp.path)).toEqual([]);
  });

  it('that lost bytes since are trusted only as far as they reach', async () => {
    const [short, empty] = [content(), content()];
    await using temp = await killedRootWith(async (opened) => {
      await keepPartial(opened, short, 600);
      await keepPartial(opened, empty, 600);
    });
    for (const name of await ingestNames(temp.path)) {
      if (!name.endsWith('.part')) continue;
      const isEmpty = name.includes(empty.digest.slice(7));
      await truncate(temp.file('weir', 'ingest', name), isEmpty ? 0 : 100);
    }
    await using opened = await openTestStore(temp.path);
    const ingest = await opened.store.resumeIngest({ digest: short.digest, upstream });
    expect(ingest?.resumed).toEqual([{ start: 0, end: 100 }]);
    await ingest?.abort('given up');
    expect(await opened.store.resumeIngest({ digest: empty.digest, upstream })).toBeUndefined();
    await opened.recovered;
    expect(await ingestNames(temp.path)).toEqual([]);
  });

  it('expire, by a clock that may have been wrong when they were written', async () => {
    const [old, young, future] = [content(), content(), content()];
    const clock = new FakeClock();
    const temp = await tempDirectory('recovery');
    const first = await openTestStore(temp.path, { clock });
    await keepPartial(first, old, 500);
    await clock.advance(dayMs);
    await keepPartial(first, young, 500);
    clock.setWallTime(clock.now() + 400 * dayMs);
    await keepPartial(first, future, 500);
    clock.setWallTime(clock.now() - 400 * dayMs);
    await first.close();
    await clock.advance(1000);
    await using second = await openTestStore(temp.path, { clock, partialTtlMs: dayMs });
    await second.recovered;
    expect(second.store.partials().map(({ key }) => key.digest)).toEqual([young.digest, future.digest]);
    for (const { updatedAtMs } of second.store.partials()) expect(updatedAtMs).toBeLessThanOrEqual(clock.now());
    expect(await ingestNames(temp.path)).toHaveLength(4);
    await temp[Symbol.asyncDispose]();
  });

  it('go when their side file says nothing, and what weir did not make stays', async () => {
    const blob = content();
    await using temp = await killedRootWith((opened) => keepPartial(opened, blob, 500));
    const directory = temp.file('weir', 'ingest');
    const kept = await ingestNames(temp.path);
    const part = (name: string): string => `sha256-${digestOf(name).slice(7)}.0123456789ab`;
    await writeFile(`${directory}/${part('no side file')}.part`, 'bytes');
    await writeFile(`${directory}/${part('torn')}.part`, 'bytes');
    await writeFile(`${directory}/${part('torn')}.json`, '{"digest":"sha2');
    await writeFile(`${directory}/${part('another digest')}.part`, 'bytes');
    await writeFile(
      `${directory}/${part('another digest')}.json`,
      JSON.stringify({ digest: digestOf('x'), upstream, synced: [[0, 5]], updatedAtMs: Date.now() }),
    );
    await writeFile(`${directory}/${part('no part')}.json`, '{}');
    await writeFile(`${directory}/${part('half')}.json.0123456789ab.tmp`, '{');
    await writeFile(`${directory}/stranger`, 'x');
    await mkdir(`${directory}/${part('tree')}.json`);
    await writeFile(`${directory}/${part('tree')}.json/file`, 'x');
    await using opened = await openTestStore(temp.path);
    expect(await opened.recovered).toMatchObject({ isComplete: true, partials: 1 });
    const foreign = ['stranger', `${part('tree')}.json`];
    expect((await ingestNames(temp.path)).toSorted()).toEqual([...kept, ...foreign].toSorted());
    expect(await readFile(`${directory}/${part('tree')}.json/file`, 'utf8')).toBe('x');
  });

  it('with a second name are finished: the blob stays, the ingest goes', async () => {
    const { bytes, digest } = content();
    await using temp = await killedRootWith((opened) => keepPartial(opened, { bytes, digest }, 1000));
    const name = (await ingestNames(temp.path)).find((each) => each.endsWith('.part')) ?? '';
    await link(temp.file('weir', 'ingest', name), blobFile(temp.path, digest));
    await using opened = await openTestStore(temp.path);
    expect(await opened.store.resumeIngest({ digest, upstream })).toBeUndefined();
    await opened.recovered;
    expect(await ingestNames(temp.path)).toEqual([]);
    expect(await readFile(blobFile(temp.path, digest))).toEqual(bytes);
    // Its row was not written yet, so nobody vouches for it.
    expect(await opened.store.stat(digest)).toMatchObject({ isSuspect: true });
  });

  it('of ingests that began after the start are left alone by the scan', async () => {
    const { bytes, digest } = content();
    await using temp = await tempDirectory('recovery');
    await using opened = await openTestStore(temp.path);
    const ingest = await opened.store.createIngest({ digest, upstream });
    await ingest.write([bytes], 0);
    await opened.recovered;
    await ingest.adopt(1000);
    expect(await opened.store.stat(digest)).toMatchObject({ isSuspect: false });
  });
});

describe('the walk through the blobs', () => {
  it('records what the catalog does not know, with its age, and forgets what is gone', async () => {
    const [known, gone, copied, future] = [content(), content(), content(), content()];
    await using temp = await rootWith(async ({ store }) => {
      for (const { digest, bytes } of [known, gone]) await store.put(digest, bytes);
    });
    await rm(blobFile(temp.path, gone.digest));
    for (const { digest, bytes } of [copied, future]) await writeFile(blobFile(temp.path, digest), bytes);
    const yearMs = 365 * dayMs;
    await utimes(blobFile(temp.path, copied.digest), new Date(), new Date(Date.now() - yearMs));
    await utimes(blobFile(temp.path, future.digest), new Date(), new Date(Date.now() + yearMs));
    await writeFile(temp.file('blobs', 'sha256', 'README'), 'not a blob');
    await using opened = await openTestStore(temp.path);
    const { metadata, clock } = opened;
    expect(await opened.recovered).toEqual({
      isComplete: true,
      blobs: 3,
      reconciled: 2,
      forgotten: 1,
      partials: 0,
      tags: 0,
    });
    expect(metadata.blobs.totals().blobs).toBe(3);
    expect(metadata.blobs.get(gone.digest)).toBeUndefined();
    expect(metadata.blobs.get(known.digest)).toMatchObject({ isSuspect: false, sizeBytes: 1000 });
    expect(metadata.blobs.get(copied.digest)).toMatchObject({ isSuspect: true, sizeBytes: 1000, allocatedBytes: 4096 });
    expect(metadata.blobs.oldest(1)[0]?.digest).toBe(copied.digest);
    expect(metadata.blobs.get(future.digest)?.lastUsedMs).toBeLessThanOrEqual(clock.now());
    expect(await readdir(temp.file('blobs', 'sha256'))).toContain('README');
    expect(opened.logger.complaints()).toEqual(['files among the blobs are not named like blobs']);
  });

  it('puts aside what cannot be the blob before anybody asks for it', async () => {
    const [short, empty, good] = [content(), content(), content()];
    await using temp = await rootWith(async ({ store }) => {
      for (const { digest, bytes } of [short, empty, good]) await store.put(digest, bytes);
    });
    for (const { digest } of [short, empty]) await chmod(blobFile(temp.path, digest), 0o644);
    await truncate(blobFile(temp.path, short.digest), 999);
    await truncate(blobFile(temp.path, empty.digest), 0);
    await using opened = await openTestStore(temp.path);
    await opened.recovered;
    expect(await readdir(temp.file('blobs', 'sha256'))).toEqual([good.digest.slice(7)]);
    expect(opened.metadata.blobs.totals().blobs).toBe(1);
    const reasons = (await readdir(temp.file('weir', 'quarantine'))).filter((name) => name.endsWith('.reason'));
    expect(reasons).toHaveLength(2);
  });

  it('after an unclean stop makes suspects of blobs without a row, and of no others', async () => {
    const [sealed, rowless] = [content(), content()];
    await using temp = await killedRootWith(async ({ store }) => void (await store.put(sealed.digest, sealed.bytes)));
    await writeFile(blobFile(temp.path, rowless.digest), rowless.bytes, { mode: 0o444 });
    await using opened = await openTestStore(temp.path);
    expect(opened.wasClean).toBe(false);
    await opened.recovered;
    expect(await opened.store.stat(sealed.digest)).toMatchObject({ isSuspect: false });
    expect(await opened.store.stat(rowless.digest)).toMatchObject({ isSuspect: true });
    // What one start has found, the next one has not forgotten.
    await opened.close();
    await using again = await openTestStore(temp.path);
    await again.recovered;
    expect(await again.store.stat(rowless.digest)).toMatchObject({ isSuspect: true });
    await again.store.prove(rowless.digest, 1000);
    expect(await again.store.stat(rowless.digest)).toMatchObject({ isSuspect: false });
    expect((await stat(blobFile(temp.path, rowless.digest))).mode & 0o777).toBe(0o444);
  });

  it('does not hold up anything: the store answers before, and closing ends it', async () => {
    const blobs = Array.from({ length: 300 }, (_, i) => content(`blob ${i}`));
    await using temp = await tempDirectory('recovery');
    await (await openTestStore(temp.path)).close();
    for (const { digest, bytes } of blobs) await writeFile(blobFile(temp.path, digest), bytes);
    await rm(temp.file('weir', 'clean'));
    const opened = await openTestStore(temp.path);
    const [first] = blobs;
    if (first !== undefined) expect(await opened.store.stat(first.digest)).toMatchObject({ isSuspect: true });
    await opened.close();
    const summary = await opened.recovered;
    expect(summary.blobs).toBeLessThanOrEqual(300);
    await using again = await openTestStore(temp.path);
    expect(await again.recovered).toMatchObject({ isComplete: true, blobs: 300 });
    expect(again.metadata.blobs.totals().blobs).toBe(300);
  });
});
