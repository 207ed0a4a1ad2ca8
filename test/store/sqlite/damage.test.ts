import { copyFile, mkdir, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { DatabaseSync } from 'node:sqlite';
import { describe, expect, it } from 'vitest';
import { silentLogger } from '../../../src/lib/log.ts';
import { parseLayoutIndex } from '../../../src/oci/layout.ts';
import { Metadata } from '../../../src/store/metadata/metadata.ts';
import { byAnybody } from '../../../src/store/contract/origin.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { eventually } from '../../support/gate.ts';
import { buildImage, buildIndex, type BuiltManifest } from '../../support/image-builder.ts';
import { type TempDirectory, tempDirectory } from '../../support/temp.ts';
import { openTestStore, passFileTime, repositoryKey, tagKey, type TestStore } from '../support/harness.ts';

const image = buildImage({ seed: 'damage' });
const index = buildIndex([image]);
const key = repositoryKey('library/alpine');
const tag = tagKey('library/alpine', '3.20');
const port = tagKey('team/app', 'v1', 'registry.example:5000');

/** Stores an image the way a pull does: blobs, manifests, links, then the tags. */
async function fill({ store, metadata, clock }: TestStore): Promise<void> {
  for (const { digest, bytes, mediaType } of [image, index]) {
    await store.put(digest, bytes);
    metadata.manifests.record({ digest, mediaType, sizeBytes: bytes.length });
    metadata.links.add(key, digest, 'manifest', { origin: byAnybody });
  }
  for (const { digest, bytes } of image.blobs) {
    await store.put(digest, bytes);
    for (const repository of [key, port]) metadata.links.add(repository, digest, 'blob', { origin: byAnybody });
  }
  metadata.links.add(port, image.digest, 'manifest', { origin: byAnybody });
  const checked = { checkedAtMs: clock.now(), isDenied: false };
  const { digest, mediaType, bytes } = index;
  metadata.tags.put(tag, { digest, mediaType, sizeBytes: bytes.length, ...checked });
  metadata.tags.put(port, {
    digest: image.digest,
    mediaType: image.mediaType,
    sizeBytes: image.bytes.length,
    ...checked,
  });
  metadata.tags.put(tagKey('library/alpine', 'denied'), {
    digest,
    mediaType,
    sizeBytes: 1,
    ...checked,
    isDenied: true,
  });
}

async function filledRoot(): Promise<TempDirectory> {
  const temp = await tempDirectory('damage');
  const opened = await openTestStore(temp.path);
  await opened.recovered;
  await fill(opened);
  await passFileTime();
  await opened.close();
  return temp;
}

/** Everything that blobs and index.json tell is there, and every blob is served without being hashed again. */
async function expectAllThere({ store, metadata }: TestStore, otherBlobs = 0): Promise<void> {
  const blobs = 2 + image.blobs.length + otherBlobs;
  await eventually(
    () => metadata.tags.get(tag) !== undefined && metadata.tags.get(port) !== undefined,
    () => 'no tags',
  );
  expect(metadata.tags.get(tag)).toMatchObject({
    digest: index.digest,
    mediaType: index.mediaType,
    sizeBytes: index.bytes.length,
    isDenied: false,
  });
  expect(metadata.tags.get(tag)?.checkedAtMs).toBeGreaterThan(Date.now() - 3_600_000);
  await eventually(
    () => metadata.blobs.totals().blobs === blobs,
    () => `${metadata.blobs.totals().blobs} of ${blobs} blobs`,
  );
  const manifests: readonly BuiltManifest[] = [index, image];
  for (const { digest, mediaType, bytes } of manifests) {
    expect(metadata.links.has(key, digest, 'manifest')).toBe(true);
    expect(metadata.links.has(key, digest, 'blob')).toBe(false);
    expect(metadata.manifests.get(digest)).toEqual({ digest, mediaType, sizeBytes: bytes.length });
  }
  for (const { digest, bytes } of image.blobs) {
    expect(metadata.links.has(key, digest, 'blob')).toBe(true);
    expect(metadata.links.has(port, digest, 'blob')).toBe(true);
    expect(metadata.links.has(key, digest, 'manifest')).toBe(false);
    // No row vouches for what a lost catalog knew: it is proved when it is read.
    expect(await store.stat(digest)).toMatchObject({ sizeBytes: bytes.length });
    expect(Buffer.from((await store.readAll(digest, bytes.length)) ?? [])).toEqual(bytes);
    expect(await store.stat(digest)).toMatchObject({ isSuspect: false });
    expect(metadata.blobs.get(digest)).toMatchObject({ sizeBytes: bytes.length });
  }
  expect(metadata.links.has(port, index.digest, 'manifest')).toBe(false);
}

const page = 4096;

async function overwrite(path: string, start: number, bytes: Buffer): Promise<void> {
  const content = await readFile(path);
  bytes.copy(content, start);
  await writeFile(path, content);
}

function alter(path: string, sql: string): void {
  const database = new DatabaseSync(path);
  database.exec(sql);
  database.close();
}

/**
 * `isAside`: weir must notice, set the file aside and say so. SQLite takes a file of a few bytes for an empty one, and a
 * log that does not fit for none.
 */
const damages: readonly {
  readonly name: string;
  readonly isAside: boolean;
  readonly apply: (metadata: string) => Promise<void>;
}[] = [
  { name: 'an empty file', isAside: false, apply: (metadata) => truncate(metadata, 0) },
  { name: 'one byte', isAside: false, apply: (metadata) => truncate(metadata, 1) },
  { name: 'half a header', isAside: true, apply: (metadata) => truncate(metadata, 50) },
  { name: 'the first page alone', isAside: true, apply: (metadata) => truncate(metadata, page) },
  {
    name: 'half of it',
    isAside: true,
    apply: async (metadata) => truncate(metadata, Math.floor((await stat(metadata)).size / 2)),
  },
  {
    name: 'noise of the same size',
    isAside: true,
    apply: async (metadata) => writeFile(metadata, Buffer.alloc((await stat(metadata)).size, 0xa5)),
  },
  { name: 'text', isAside: true, apply: (metadata) => writeFile(metadata, 'catalog: {}\n') },
  { name: 'a wrong magic', isAside: true, apply: (metadata) => overwrite(metadata, 0, Buffer.from('sqlite')) },
  {
    name: 'zeros after the header page',
    isAside: true,
    apply: async (metadata) => overwrite(metadata, page, Buffer.alloc((await stat(metadata)).size - page)),
  },
  { name: 'a newer schema', isAside: true, apply: async (metadata) => alter(metadata, 'PRAGMA user_version = 99') },
  {
    name: 'the database of another program',
    isAside: true,
    apply: async (metadata) => {
      await rm(metadata);
      alter(metadata, 'CREATE TABLE cookies (name TEXT); PRAGMA user_version = 1');
    },
  },
  { name: 'a missing table', isAside: true, apply: async (metadata) => alter(metadata, 'DROP TABLE tags') },
  {
    name: 'a missing index',
    isAside: true,
    apply: async (metadata) => alter(metadata, 'DROP INDEX blobs_by_last_use'),
  },
  {
    name: 'a table with another column',
    isAside: true,
    apply: async (metadata) => alter(metadata, 'ALTER TABLE blobs ADD COLUMN colour TEXT'),
  },
  { name: 'no totals', isAside: true, apply: async (metadata) => alter(metadata, 'DELETE FROM totals') },
  {
    name: 'noise as its log',
    isAside: false,
    apply: (metadata) => writeFile(`${metadata}-wal`, Buffer.alloc(9000, 1)),
  },
  { name: 'an empty log', isAside: false, apply: (metadata) => writeFile(`${metadata}-wal`, '') },
  { name: 'noise as its shared memory', isAside: false, apply: (metadata) => writeFile(`${metadata}-shm`, 'noise') },
];

describe('a damaged catalog', () => {
  it('comes in enough ways', () => expect(damages.length).toBeGreaterThanOrEqual(12));

  for (const { name, isAside, apply } of damages) {
    it(`(${name}) does not stop the start, and what blobs and index.json tell is there again`, async () => {
      await using temp = await filledRoot();
      await apply(temp.file('weir', 'catalog.db'));
      await using opened = await openTestStore(temp.path);
      expect(await opened.recovered).toMatchObject({ isComplete: true });
      await expectAllThere(opened);
      const aside = (await readdir(temp.file('weir'))).filter((each) => each.includes('.bad-'));
      expect(aside.length > 0).toBe(isAside);
      expect(opened.logger.complaints()).toEqual(
        isAside ? ['the catalog cannot be used; it was set aside and is being rebuilt'] : [],
      );
    });
  }

  it('(gone) is rebuilt without a complaint: an operator may delete it', async () => {
    await using temp = await filledRoot();
    await rm(temp.file('weir', 'catalog.db'));
    await using opened = await openTestStore(temp.path);
    expect(await opened.recovered).toMatchObject({ isComplete: true, tags: 2 });
    await expectAllThere(opened);
    expect(opened.logger.complaints()).toEqual([]);
  });

  it('(any single page) does not stop the start either, wherever the damage is', async () => {
    await using temp = await filledRoot();
    const metadata = temp.file('weir', 'catalog.db');
    const pages = (await stat(metadata)).size / page;
    expect(pages).toBeGreaterThan(10);
    await copyFile(metadata, temp.file('weir', 'good'));
    for (let i = 0; i < pages; i++) {
      for (const name of await readdir(temp.file('weir'))) {
        if (name.startsWith('catalog.db')) await rm(temp.file('weir', name));
      }
      await copyFile(temp.file('weir', 'good'), metadata);
      await overwrite(metadata, i * page, Buffer.alloc(page, 0xa5));
      const opened = await openTestStore(temp.path);
      expect(await opened.recovered, `page ${i}`).toMatchObject({ isComplete: true });
      await expectAllThere(opened);
      expect(opened.logger.complaints(), `page ${i}`).toHaveLength(1);
      await opened.close();
    }
  }, 120_000);

  it('(a directory in its place) leaves weir with a catalog in memory until the next start', async () => {
    await using temp = await filledRoot();
    await rm(temp.file('weir', 'catalog.db'));
    await mkdir(temp.file('weir', 'catalog.db'));
    await using opened = await openTestStore(temp.path);
    await opened.recovered;
    await expectAllThere(opened);
    expect(opened.logger.complaints()).toEqual([
      'the catalog cannot be opened; it is kept in memory until the next start',
    ]);
  });

  it('found while weir runs is replaced in place, and index.json is not emptied meanwhile', async () => {
    await using temp = await filledRoot();
    await using opened = await openTestStore(temp.path);
    await opened.recovered;
    const { metadata, store } = opened;
    if (!('database' in metadata)) throw new Error('not the SQLite catalog');
    const database = metadata.database as { replace(reason: unknown): void };
    database.replace(new Error('a test says so'));
    expect(metadata.tags.get(tag)).toBeUndefined();
    const fresh = buildImage({ seed: 'meanwhile' });
    await store.put(fresh.digest, fresh.bytes);
    metadata.flush();
    await opened.index.flush();
    const walks = (): number => opened.logger.lines.filter(({ level }) => level === 'info').length;
    await eventually(
      () => walks() === 2,
      () => 'no second walk',
    );
    await expectAllThere(opened, 1);
    await opened.clock.advance(2000);
    await eventually(
      async () => parseLayoutIndex(await readFile(temp.file('index.json')))?.length === 2,
      () => 'index.json lost its tags',
    );
    expect(await store.stat(fresh.digest)).toMatchObject({ isSuspect: false });
  });

  it('is rebuilt at the next start when the process ended after it was created and before it was rebuilt', async () => {
    await using temp = await filledRoot();
    const path = temp.file('weir', 'catalog.db');
    await rm(path);
    new Metadata({ path, clock: new FakeClock(), logger: silentLogger }).close();
    await using opened = await openTestStore(temp.path);
    expect(await opened.recovered).toMatchObject({ tags: 2 });
    await expectAllThere(opened);
  });

  it('and a damaged index.json leave the blobs at least', async () => {
    await using temp = await filledRoot();
    await rm(temp.file('weir', 'catalog.db'));
    await writeFile(temp.file('index.json'), '{"manifests": 5}');
    await using opened = await openTestStore(temp.path);
    expect(await opened.recovered).toMatchObject({ isComplete: true, tags: 0, blobs: 2 + image.blobs.length });
    expect(opened.metadata.blobs.totals().blobs).toBe(2 + image.blobs.length);
    expect(await opened.store.stat(image.digest)).toMatchObject({ isSuspect: true });
    expect(opened.logger.complaints()).toEqual(['index.json is damaged as well; tags and links start anew']);
  });
});
