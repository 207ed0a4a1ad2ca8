import { DatabaseSync } from 'node:sqlite';
import { describe, expect, it } from 'vitest';
import { byAnybody } from '../../../src/store/contract/origin.ts';
import { tempDirectory } from '../../support/temp.ts';
import { content, openTestStore, repositoryKey, tagKey } from '../support/harness.ts';

const key = repositoryKey('library/alpine');

describe('a catalog that another process locks', () => {
  it('costs no hit: what is known stays known, what is new is known, and is written when the lock goes', async () => {
    await using temp = await tempDirectory('locked');
    await using opened = await openTestStore(temp.path);
    await opened.recovered;
    const { metadata, store, clock } = opened;
    const [old, fresh] = [content(), content()];
    await store.put(old.digest, old.bytes);
    metadata.links.add(key, old.digest, 'blob', { origin: byAnybody });
    metadata.flush();

    const other = new DatabaseSync(temp.file('weir', 'catalog.db'));
    other.exec('BEGIN EXCLUSIVE');
    const beganMs = performance.now();
    for (let i = 0; i < 200; i++) {
      metadata.blobs.touch(old.digest);
      expect(await store.stat(old.digest)).toMatchObject({ isSuspect: false });
      expect(metadata.links.has(key, old.digest, 'blob')).toBe(true);
      metadata.flush();
    }
    // One wait of 20 ms; each write once waited for 500.
    expect(performance.now() - beganMs).toBeLessThan(20_000);
    await store.put(fresh.digest, fresh.bytes);
    metadata.links.add(key, fresh.digest, 'blob', { origin: byAnybody });
    const record = { digest: fresh.digest, mediaType: 'a/b', sizeBytes: 1, checkedAtMs: 1, isDenied: false };
    metadata.tags.put(tagKey('library/alpine', 'v1'), record);
    expect(await store.stat(fresh.digest)).toMatchObject({ isSuspect: false });
    expect(metadata.links.has(key, fresh.digest, 'blob')).toBe(true);
    expect(opened.logger.complaints()).toEqual(['the catalog cannot be read or written; weir goes on without']);
    other.exec('ROLLBACK');
    other.close();

    await clock.advance(400);
    metadata.flush();
    const reader = new DatabaseSync(temp.file('weir', 'catalog.db'), { readOnly: true });
    const count = (sql: string): unknown => reader.prepare(`SELECT count(*) AS n FROM ${sql}`).get()?.['n'];
    expect([count('blobs WHERE file_stamp IS NOT NULL'), count('links'), count('tags')]).toEqual([2, 2, 1]);
    reader.close();
    expect(metadata.tags.get(tagKey('library/alpine', 'v1'))?.digest).toBe(fresh.digest);
  });
});
