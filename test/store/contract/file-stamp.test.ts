import { chmod, copyFile, link, lstat, readdir, readFile, rename, rm, utimes, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatStamp, parseStamp, stampOf } from '../../../src/store/contract/file-stamp.ts';
import { eventually } from '../../support/gate.ts';
import { type TempDirectory, tempDirectory } from '../../support/temp.ts';
import { blobFile, content, type Content, openTestStore, type TestStore } from '../support/harness.ts';

/** A root with one blob, stopped in order. */
async function rootWith({ digest, bytes }: Content): Promise<TempDirectory> {
  const temp = await tempDirectory('stamp');
  const opened = await openTestStore(temp.path);
  await opened.store.put(digest, bytes);
  await opened.recovered;
  await opened.close();
  return temp;
}

async function isSuspect({ store }: TestStore, { digest }: Content): Promise<boolean | undefined> {
  return (await store.stat(digest))?.isSuspect;
}

/** Exchanges the file and leaves size and modification time as they were, as fsGroup, backups and attackers do. */
async function exchange(path: string, bytes: Uint8Array): Promise<void> {
  const { mtime } = await lstat(path);
  await writeFile(`${path}.new`, bytes);
  await rename(`${path}.new`, path);
  await utimes(path, mtime, mtime);
}

/** utimes knows microseconds at best; for tests the row is made to say what the file then has. */
async function roundRow(root: string, { digest }: Content): Promise<void> {
  const { mtime } = await lstat(blobFile(root, digest));
  await utimes(blobFile(root, digest), mtime, mtime);
  const stamp = formatStamp(stampOf(await lstat(blobFile(root, digest), { bigint: true })));
  alter(root, `UPDATE blobs SET file_stamp = '${stamp}'`);
}

function alter(root: string, sql: string): void {
  const database = new DatabaseSync(`${root}/weir/catalog.db`);
  database.exec(sql);
  database.close();
}

function stampIn(root: string): string {
  const database = new DatabaseSync(`${root}/weir/catalog.db`, { readOnly: true });
  const row = database.prepare('SELECT file_stamp FROM blobs').get();
  database.close();
  return String(row?.['file_stamp']);
}

describe('a stored blob', () => {
  it('has in its row what its file is known by, from its adoption on', async () => {
    const blob = content();
    await using temp = await rootWith(blob);
    expect(stampIn(temp.path)).toBe(
      formatStamp(stampOf(await lstat(blobFile(temp.path, blob.digest), { bigint: true }))),
    );
  });

  it('that was put under its name while weir ran is proved before it is given, also after an orderly stop', async () => {
    const [stored, planted] = [content(), content()];
    await using temp = await rootWith(stored);
    const first = await openTestStore(temp.path);
    await first.recovered;
    await writeFile(blobFile(temp.path, planted.digest), 'not at all what its name says');
    await first.close();
    await using second = await openTestStore(temp.path);
    expect(second.wasClean).toBe(true);
    expect(await isSuspect(second, stored)).toBe(false);
    expect(await isSuspect(second, planted)).toBe(true);
    expect(await second.store.readAll(planted.digest, 1000)).toBeUndefined();
    await second.recovered;
    expect(await second.store.stat(planted.digest)).toBeUndefined();
  });

  it('is suspect where its catalog is lost, and where its modification time is another, and a proof ends that', async () => {
    const blob = content();
    for (const spoil of ['catalog', 'time', 'both'] as const) {
      await using temp = await rootWith(blob);
      const path = blobFile(temp.path, blob.digest);
      if (spoil !== 'time') await rm(temp.file('weir', 'catalog.db'));
      if (spoil !== 'catalog') await utimes(path, 1, 1);
      const opened = await openTestStore(temp.path);
      expect(await isSuspect(opened, blob), spoil).toBe(true);
      await opened.recovered;
      expect(await isSuspect(opened, blob), spoil).toBe(true);
      expect(Buffer.from((await opened.store.readAll(blob.digest, 1000)) ?? [])).toEqual(blob.bytes);
      expect(await isSuspect(opened, blob), spoil).toBe(false);
      await opened.close();
      await using again = await openTestStore(temp.path);
      expect(await isSuspect(again, blob), spoil).toBe(false);
      await again.recovered;
      expect(again.logger.complaints()).toEqual([]);
    }
  });

  it('whose size is not that of its row is bad, and one that grew before anybody proved it is suspect still', async () => {
    const [good, growing] = [content(), content()];
    await using temp = await rootWith(good);
    await writeFile(blobFile(temp.path, growing.digest), growing.bytes.subarray(0, 100));
    const first = await openTestStore(temp.path);
    await first.recovered;
    expect(await first.store.stat(growing.digest)).toMatchObject({ isSuspect: true, sizeBytes: 100 });
    await first.close();
    // A torn rsync that went on.
    await writeFile(blobFile(temp.path, growing.digest), growing.bytes);
    await rm(blobFile(temp.path, good.digest));
    await writeFile(blobFile(temp.path, good.digest), 'short');
    await using second = await openTestStore(temp.path);
    expect(await second.store.stat(growing.digest)).toMatchObject({ isSuspect: true, sizeBytes: 1000 });
    expect(Buffer.from((await second.store.readAll(growing.digest, 1000)) ?? [])).toEqual(growing.bytes);
    expect(await second.store.stat(good.digest)).toBeUndefined();
    await second.recovered;
  });

  for (const [what, change] of [
    ['ownership or mode was changed', (path: string) => chmod(path, 0o644)],
    ['has another name elsewhere', (path: string) => link(path, `${dirname(path)}/../../weir/backup`)],
    ['was copied with its time', async (path: string) => exchange(path, await readFile(path))],
  ] as const) {
    it(`whose file ${what} is served, proved again beside, and known by its new stamp`, async () => {
      const blob = content();
      await using temp = await rootWith(blob);
      const path = blobFile(temp.path, blob.digest);
      await roundRow(temp.path, blob);
      const before = stampIn(temp.path);
      await change(path);
      await using opened = await openTestStore(temp.path);
      await opened.recovered;
      opened.metadata.flush();
      expect(stampIn(temp.path)).toBe(before);
      expect(await isSuspect(opened, blob)).toBe(false);
      const now = formatStamp(stampOf(await lstat(path, { bigint: true })));
      await eventually(
        () => opened.metadata.blobs.get(blob.digest)?.stamp !== undefined && formatted(opened, blob) === now,
        () => `${formatted(opened, blob)} is not ${now}`,
      );
      expect(await isSuspect(opened, blob)).toBe(false);
      expect(opened.logger.complaints()).toEqual([]);
    });
  }

  it('whose bytes were exchanged behind an unchanged time is found out beside, and put aside', async () => {
    const blob = content();
    await using temp = await rootWith(blob);
    await roundRow(temp.path, blob);
    await exchange(blobFile(temp.path, blob.digest), Buffer.alloc(1000, 'x'));
    await using opened = await openTestStore(temp.path);
    await opened.recovered;
    expect(await isSuspect(opened, blob)).toBe(false);
    await eventually(
      async () => (await opened.store.stat(blob.digest)) === undefined,
      () => 'the bad blob is still there',
    );
    expect(await readdir(temp.file('weir', 'quarantine'))).toHaveLength(2);
  });

  it('of an older weir is taken over unread if its file is not newer than its row or the stop, else it is suspect', async () => {
    for (const isNewer of [false, true]) {
      const blob = content();
      await using temp = await rootWith(blob);
      alter(temp.path, `UPDATE blobs SET file_stamp = NULL${isNewer ? ', last_used_ms = 1' : ''}`);
      if (isNewer) {
        await writeFile(temp.file('weir', 'clean'), JSON.stringify({ stoppedAtMs: 1, hadSuspects: false }));
        const path = blobFile(temp.path, blob.digest);
        await copyFile(path, `${path}.new`);
        await rename(`${path}.new`, path);
      }
      const opened = await openTestStore(temp.path);
      await opened.recovered;
      expect(await isSuspect(opened, blob)).toBe(isNewer);
      await opened.close();
      // What was in doubt does not become right by stopping.
      await using again = await openTestStore(temp.path);
      expect(await isSuspect(again, blob)).toBe(isNewer);
      expect(stampIn(temp.path) === 'null').toBe(isNewer);
      await again.recovered;
    }
  });
});

function formatted({ metadata }: TestStore, { digest }: Content): string {
  const stamp = metadata.blobs.get(digest)?.stamp;
  return stamp === undefined ? '' : formatStamp(stamp);
}

describe('a stamp', () => {
  it('survives being written down, and nothing else is taken for one', () => {
    const number = fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n);
    fc.assert(
      fc.property(number, fc.bigInt(0n, 2n ** 64n - 1n), number, (mtimeNs, inode, ctimeNs) => {
        expect(parseStamp(formatStamp({ mtimeNs, inode, ctimeNs }))).toEqual({ mtimeNs, inode, ctimeNs });
      }),
    );
    for (const text of ['', '1 2', '1 2 3 4', 'a b c', '1  2 3', '1 -2 3', ' 1 2 3', '1.5 2 3']) {
      expect(parseStamp(text), text).toBeUndefined();
    }
  });
});
