import { DatabaseSync } from 'node:sqlite';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { silentLogger } from '../../../src/lib/log.ts';
import { type Digest, digestOf } from '../../../src/oci/digest.ts';
import type { TagRecord } from '../../../src/store/contract/metadata.ts';
import { Metadata } from '../../../src/store/metadata/metadata.ts';
import { byAnybody } from '../../../src/store/contract/origin.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { tempDirectory } from '../../support/temp.ts';
import { repositoryKey, tagKey } from '../support/harness.ts';

interface CatalogUnderTest extends Disposable {
  readonly metadata: Metadata;
  readonly clock: FakeClock;
}

function openMetadata(path = ':memory:', clock = new FakeClock()): CatalogUnderTest {
  const metadata = new Metadata({ path, clock, logger: silentLogger });
  return { metadata, clock, [Symbol.dispose]: () => metadata.close() };
}

const digest = (text: string): Digest => digestOf(text);
const record = (text: string, changes: Partial<TagRecord> = {}): TagRecord => ({
  digest: digest(text),
  mediaType: 'application/vnd.oci.image.manifest.v1+json',
  sizeBytes: text.length,
  checkedAtMs: 1000,
  isDenied: false,
  ...changes,
});

describe('blobs in the catalog', () => {
  it('are recorded, replaced and forgotten, and the totals follow each step', () => {
    using under = openMetadata();
    const { metadata } = under;
    expect(metadata.blobs.get(digest('a'))).toBeUndefined();
    metadata.blobs.record({ digest: digest('a'), sizeBytes: 10, allocatedBytes: 4096 });
    metadata.blobs.record({ digest: digest('b'), sizeBytes: 20, allocatedBytes: 8192 });
    expect(metadata.blobs.get(digest('a'))).toEqual({
      digest: digest('a'),
      sizeBytes: 10,
      allocatedBytes: 4096,
      lastUsedMs: under.clock.now(),
      isPinned: false,
      isSuspect: false,
    });
    expect(metadata.blobs.totals()).toEqual({ blobs: 2, allocatedBytes: 12_288 });
    metadata.blobs.record({ digest: digest('a'), sizeBytes: 30, allocatedBytes: 16_384 });
    expect(metadata.blobs.get(digest('a'))).toMatchObject({ sizeBytes: 30, allocatedBytes: 16_384 });
    expect(metadata.blobs.totals()).toEqual({ blobs: 2, allocatedBytes: 24_576 });
    metadata.blobs.forget(digest('a'));
    metadata.blobs.forget(digest('nobody'));
    expect(metadata.blobs.get(digest('a'))).toBeUndefined();
    expect(metadata.blobs.totals()).toEqual({ blobs: 1, allocatedBytes: 8192 });
  });

  it('that nobody has proved are suspect, known before or not, and are proved by recording them', () => {
    using under = openMetadata();
    const { metadata, clock } = under;
    const found = { sizeBytes: 5, allocatedBytes: 4096, lastUsedMs: clock.now() + 1e9 };
    const stamp = { mtimeNs: 2n ** 62n + 1n, inode: 2n ** 64n - 1n, ctimeNs: -1n };
    metadata.blobs.record({ digest: digest('known'), sizeBytes: 10, allocatedBytes: 4096, stamp });
    metadata.blobs.setPinned(digest('known'), true);
    metadata.flush();
    expect(metadata.blobs.get(digest('known'))).toMatchObject({ stamp, isSuspect: false });
    metadata.blobs.recordSuspect({ ...found, digest: digest('known') });
    metadata.blobs.restamp(digest('known'), stamp);
    expect(metadata.blobs.get(digest('known'))).toMatchObject({ sizeBytes: 5, isSuspect: true, isPinned: true });
    expect(metadata.blobs.get(digest('known'))?.stamp).toBeUndefined();
    metadata.blobs.recordSuspect({ ...found, digest: digest('new') });
    // A date in the future would keep it for ever.
    expect(metadata.blobs.get(digest('new'))).toMatchObject({ isSuspect: true, lastUsedMs: clock.now() });
    metadata.blobs.record({ digest: digest('new'), sizeBytes: 5, allocatedBytes: 4096 });
    expect(metadata.blobs.get(digest('new'))).toMatchObject({ isSuspect: false });
  });

  it('are ordered by use, whatever has been committed', async () => {
    using under = openMetadata();
    const { metadata, clock } = under;
    for (const name of ['a', 'b', 'c']) {
      metadata.blobs.record({ digest: digest(name), sizeBytes: 1, allocatedBytes: 1 });
      await clock.advance(10);
    }
    metadata.blobs.touch(digest('a'));
    metadata.blobs.touch(digest('not there'));
    expect(metadata.blobs.get(digest('a'))?.lastUsedMs).toBe(clock.now());
    expect(metadata.blobs.oldest(2).map((blob) => blob.digest)).toEqual([digest('b'), digest('c')]);
    await clock.advance(1000);
    expect(metadata.blobs.oldest(9).map((blob) => blob.digest)).toEqual([digest('b'), digest('c'), digest('a')]);
    expect(metadata.blobs.totals().blobs).toBe(3);
  });

  it('that are pinned are not offered for eviction', () => {
    using under = openMetadata();
    const { metadata } = under;
    for (const name of ['a', 'b']) metadata.blobs.record({ digest: digest(name), sizeBytes: 1, allocatedBytes: 1 });
    metadata.blobs.setPinned(digest('a'), true);
    metadata.blobs.setPinned(digest('nobody'), true);
    expect(metadata.blobs.get(digest('a'))?.isPinned).toBe(true);
    expect(metadata.blobs.oldest(9).map((blob) => blob.digest)).toEqual([digest('b')]);
    // Being stored again does not unpin.
    metadata.blobs.record({ digest: digest('a'), sizeBytes: 1, allocatedBytes: 1 });
    expect(metadata.blobs.oldest(9)).toHaveLength(1);
    metadata.blobs.setPinned(digest('a'), false);
    expect(metadata.blobs.oldest(9)).toHaveLength(2);
  });

  it('are not kept for ever by a clock that was ahead for a while', async () => {
    await using temp = await tempDirectory('catalog');
    const clock = new FakeClock();
    const realNow = clock.now();
    {
      using under = openMetadata(temp.file('c.db'), clock);
      under.metadata.blobs.record({ digest: digest('old'), sizeBytes: 1, allocatedBytes: 1 });
      clock.setWallTime(realNow + 1e12);
      under.metadata.blobs.record({ digest: digest('from the future'), sizeBytes: 1, allocatedBytes: 1 });
      clock.setWallTime(realNow);
      expect(under.metadata.blobs.get(digest('from the future'))?.lastUsedMs).toBe(realNow);
    }
    using under = openMetadata(temp.file('c.db'), clock);
    await clock.advance(1000);
    under.metadata.blobs.touch(digest('old'));
    await clock.advance(1000);
    expect(under.metadata.blobs.oldest(1)[0]?.digest).toBe(digest('from the future'));
  });

  it('agree with a plain model after any sequence of calls, before and after commits', async () => {
    const name = fc.constantFrom('a', 'b', 'c', 'd');
    const step = fc.oneof(
      fc.record({ do: fc.constant('seal' as const), name, size: fc.nat(9000) }),
      fc.record({ do: fc.constant('find' as const), name, size: fc.nat(9000) }),
      fc.record({ do: fc.constantFrom('forget' as const, 'touch' as const, 'pin' as const, 'unpin' as const), name }),
      fc.record({ do: fc.constantFrom('flush' as const, 'wait' as const), name: fc.constant('') }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
        using under = openMetadata();
        const { metadata, clock } = under;
        const model = new Map<string, { size: number; usedAt: number; isPinned: boolean; isSuspect: boolean }>();
        for (const each of steps) {
          await clock.advance(1);
          if (each.do === 'flush') metadata.flush();
          else if (each.do === 'wait') await clock.advance(100);
          else {
            const known = model.get(each.name);
            const fresh = { usedAt: clock.now(), isPinned: known?.isPinned ?? false };
            if (each.do === 'seal') {
              metadata.blobs.record({ digest: digest(each.name), sizeBytes: each.size, allocatedBytes: each.size });
              model.set(each.name, { ...fresh, size: each.size, isSuspect: false });
            } else if (each.do === 'find') {
              const found = {
                sizeBytes: each.size,
                allocatedBytes: each.size,
                lastUsedMs: clock.now(),
              };
              metadata.blobs.recordSuspect({ digest: digest(each.name), ...found });
              model.set(each.name, { ...fresh, ...known, size: each.size, isSuspect: true });
            } else if (each.do === 'forget') {
              metadata.blobs.forget(digest(each.name));
              model.delete(each.name);
            } else if (each.do === 'touch') {
              metadata.blobs.touch(digest(each.name));
              if (known !== undefined) known.usedAt = clock.now();
            } else {
              metadata.blobs.setPinned(digest(each.name), each.do === 'pin');
              if (known !== undefined) known.isPinned = each.do === 'pin';
            }
          }
          for (const [key, { size, usedAt, isPinned, isSuspect }] of model) {
            expect(metadata.blobs.get(digest(key))).toEqual({
              digest: digest(key),
              sizeBytes: size,
              allocatedBytes: size,
              lastUsedMs: usedAt,
              isPinned,
              isSuspect,
            });
          }
          const sum = [...model.values()].reduce((total, { size }) => total + size, 0);
          expect(metadata.blobs.totals()).toEqual({ blobs: model.size, allocatedBytes: sum });
          const order = [...model]
            .filter(([, { isPinned }]) => !isPinned)
            .toSorted(([, one], [, other]) => one.usedAt - other.usedAt)
            .map(([key]) => digest(key));
          expect(metadata.blobs.oldest(9).map((blob) => blob.digest)).toEqual(order);
        }
      }),
      { numRuns: 100 },
    );
  });

  it('stay fast with 100,000 rows: no question walks through the table', async () => {
    await using temp = await tempDirectory('catalog');
    {
      using under = openMetadata(temp.file('c.db'));
      for (let i = 0; i < 100_000; i++) {
        under.metadata.blobs.record({ digest: digest(String(i)), sizeBytes: i, allocatedBytes: 4096 });
      }
      expect(under.metadata.blobs.totals()).toEqual({ blobs: 100_000, allocatedBytes: 409_600_000 });
      expect(under.metadata.blobs.oldest(1000)).toHaveLength(1000);
    }
    const database = new DatabaseSync(temp.file('c.db'), { readOnly: true });
    const plans = [
      'SELECT * FROM blobs WHERE is_pinned = 0 ORDER BY last_used_ms LIMIT 10',
      'SELECT * FROM blobs WHERE digest = 1',
      'SELECT * FROM blobs WHERE digest > 1 ORDER BY digest LIMIT 10',
      'UPDATE blobs SET last_used_ms = 1 WHERE is_pinned = 0 AND last_used_ms > 1',
      'SELECT 1 FROM links WHERE repository_id = 1 AND digest = 1 AND kind = 1',
      'SELECT upstream, repository FROM links JOIN repositories ON id = repository_id WHERE digest = 1 AND kind = 1 LIMIT 1',
      'SELECT id FROM repositories WHERE upstream = 1 AND repository = 1',
      'SELECT * FROM tags WHERE repository_id = 1 AND tag = 1',
      'SELECT upstream, repository, tags.* FROM tags JOIN repositories ON id = repository_id WHERE (repository_id, tag) > (1, 1) ORDER BY repository_id, tag LIMIT 1',
      'SELECT body, checked_at_ms FROM listings WHERE key = 1',
      'SELECT media_type, size_bytes FROM manifests WHERE digest = 1',
    ].map((sql) => ({
      sql,
      plan: database
        .prepare(`EXPLAIN QUERY PLAN ${sql}`)
        .all()
        .map((row) => String(row['detail'])),
    }));
    database.close();
    for (const { sql, plan } of plans) {
      expect(plan.length, sql).toBeGreaterThan(0);
      for (const step of plan) {
        expect(step, sql).not.toMatch(/TEMP B-TREE/);
        // A scan along an index in the order asked for ends at the LIMIT; a bare one reads everything.
        if (step.startsWith('SCAN')) expect(step, sql).toMatch(/USING (COVERING )?INDEX/);
      }
    }
  });
});

describe('tags in the catalog', () => {
  it('are put, confirmed, denied and forgotten', () => {
    using under = openMetadata();
    const { metadata } = under;
    const key = tagKey('library/alpine', '3.20');
    expect(metadata.tags.get(key)).toBeUndefined();
    metadata.tags.put(key, record('one'));
    expect(metadata.tags.get(key)).toEqual(record('one'));
    metadata.tags.put(key, record('one', { checkedAtMs: 2000 }));
    expect(metadata.tags.get(key)?.checkedAtMs).toBe(2000);
    metadata.tags.put(key, record('one', { isDenied: true }));
    expect(metadata.tags.get(key)?.isDenied).toBe(true);
    expect(metadata.tags.get(tagKey('library/alpine', '3.20', 'ghcr.io'))).toBeUndefined();
    expect(metadata.tags.get(tagKey('library/alpin', '3.20'))).toBeUndefined();
    metadata.tags.forget(key);
    expect(metadata.tags.get(key)).toBeUndefined();
    metadata.tags.forget(tagKey('never/seen', 'x'));
  });

  it('keep their pin through new bindings', () => {
    using under = openMetadata();
    const { metadata } = under;
    const key = tagKey('a', 'v1');
    metadata.tags.setPinned(key, true);
    expect(metadata.tags.isPinned(key)).toBe(false);
    metadata.tags.put(key, record('one'));
    expect(metadata.tags.isPinned(key)).toBe(false);
    metadata.tags.setPinned(key, true);
    metadata.tags.put(key, record('two'));
    expect(metadata.tags.isPinned(key)).toBe(true);
    expect(metadata.tags.isPinned(tagKey('a', 'v2'))).toBe(false);
    metadata.tags.setPinned(key, false);
    expect(metadata.tags.isPinned(key)).toBe(false);
  });

  it('are listed per repository in order, and all of them across pages, even while they change', () => {
    using under = openMetadata();
    const { metadata } = under;
    for (let i = 0; i < 1300; i++) metadata.tags.put(tagKey(`repo${i % 7}`, `tag${i}`), record(String(i)));
    expect(metadata.tags.of(repositoryKey('repo3'))).toEqual(
      Array.from({ length: 1300 }, (_, i) => i)
        .filter((i) => i % 7 === 3)
        .map((i) => `tag${i}`)
        .toSorted(),
    );
    expect(metadata.tags.of(repositoryKey('unknown'))).toEqual([]);
    const seen = new Set<string>();
    for (const { upstream, repository, tag, digest: bound } of metadata.tags.all()) {
      expect(upstream).toBe('docker.io');
      expect(bound).toBe(digest(tag.slice(3)));
      seen.add(`${repository}:${tag}`);
      metadata.tags.forget({ upstream, repository, tag });
    }
    expect(seen.size).toBe(1300);
    expect([...metadata.tags.all()]).toEqual([]);
  });

  it('announce changes once per commit, confirmations not at all', async () => {
    using under = openMetadata();
    const { metadata, clock } = under;
    let announced = 0;
    metadata.tags.onChanged(() => announced++);
    metadata.tags.put(tagKey('a', '1'), record('one'));
    metadata.tags.put(tagKey('a', '2'), record('two'));
    expect(announced).toBe(0);
    await clock.advance(50);
    expect(announced).toBe(1);
    metadata.tags.put(tagKey('a', '1'), record('one', { checkedAtMs: 9000 }));
    metadata.blobs.touch(digest('one'));
    await clock.advance(50);
    expect(announced).toBe(1);
    metadata.tags.put(tagKey('a', '1'), record('one', { isDenied: true }));
    metadata.flush();
    expect(announced).toBe(2);
    metadata.tags.forget(tagKey('a', '1'));
    metadata.flush();
    expect(announced).toBe(3);
    metadata.forgetRepository(repositoryKey('a'));
    metadata.flush();
    expect(announced).toBe(4);
  });
});

describe('links in the catalog', () => {
  it('belong to one upstream, repository, digest and kind', () => {
    using under = openMetadata();
    const { metadata } = under;
    const key = repositoryKey('team/app', 'ghcr.io');
    metadata.links.add(key, digest('x'), 'blob', { origin: byAnybody });
    metadata.links.add(key, digest('x'), 'blob', { origin: byAnybody });
    expect(metadata.links.has(key, digest('x'), 'blob')).toBe(true);
    expect(metadata.links.has(key, digest('x'), 'manifest')).toBe(false);
    expect(metadata.links.has(key, digest('y'), 'blob')).toBe(false);
    expect(metadata.links.has(repositoryKey('team/app'), digest('x'), 'blob')).toBe(false);
    expect(metadata.links.has(repositoryKey('team', 'ghcr.io'), digest('x'), 'blob')).toBe(false);
  });

  it('tell who may serve a digest, up to a limit', () => {
    using under = openMetadata();
    const { metadata } = under;
    for (const name of ['a', 'b', 'c'])
      metadata.links.add(repositoryKey(name), digest('x'), 'blob', { origin: byAnybody });
    metadata.links.add(repositoryKey('d'), digest('x'), 'manifest', { origin: byAnybody });
    expect(metadata.links.of(digest('x'), 'blob', 10)).toEqual(['a', 'b', 'c'].map((name) => repositoryKey(name)));
    expect(metadata.links.of(digest('x'), 'blob', 2)).toHaveLength(2);
    expect(metadata.links.of(digest('y'), 'blob', 10)).toEqual([]);
  });

  it('and tags go when their repository is forgotten, and only then', () => {
    using under = openMetadata();
    const { metadata } = under;
    for (const name of ['a', 'b']) {
      metadata.links.add(repositoryKey(name), digest('x'), 'blob', { origin: byAnybody });
      metadata.tags.put(tagKey(name, 'v1'), record('x'));
      expect(metadata.links.has(repositoryKey(name), digest('x'), 'blob')).toBe(true);
      expect(metadata.tags.get(tagKey(name, 'v1'))).toBeDefined();
    }
    metadata.forgetRepository(repositoryKey('a'));
    metadata.forgetRepository(repositoryKey('never seen'.replace(' ', '/')));
    expect(metadata.links.has(repositoryKey('a'), digest('x'), 'blob')).toBe(false);
    expect(metadata.tags.get(tagKey('a', 'v1'))).toBeUndefined();
    expect(metadata.tags.of(repositoryKey('a'))).toEqual([]);
    expect(metadata.links.has(repositoryKey('b'), digest('x'), 'blob')).toBe(true);
    expect(metadata.tags.get(tagKey('b', 'v1'))).toBeDefined();
    metadata.links.add(repositoryKey('a'), digest('x'), 'blob', { origin: byAnybody });
    expect(metadata.links.has(repositoryKey('a'), digest('x'), 'blob')).toBe(true);
  });

  it('make their repository a known one, public if a stranger or the operator gave a word; tags do not', () => {
    using under = openMetadata();
    const { metadata } = under;
    const ours = { origin: { kind: 'credential', place: 'basic me' } } as const;
    metadata.links.add(repositoryKey('z'), digest('x'), 'blob', { origin: byAnybody });
    metadata.tags.put(tagKey('a', 'v1'), record('x'));
    metadata.links.add(repositoryKey('m', 'a.example'), digest('x'), 'manifest', { origin: { kind: 'operator' } });
    metadata.links.add(repositoryKey('ours'), digest('x'), 'blob', ours);
    const listed = (upstream: string, after?: string): readonly string[] =>
      [...metadata.repositories.of(upstream, after)].map(({ repository, isPublic }) => `${repository} ${isPublic}`);
    expect(listed('a.example')).toEqual(['m true']);
    expect(listed('docker.io')).toEqual(['ours false', 'z true']);
    expect(listed('docker.io', 'ours')).toEqual(['z true']);
  });
});

describe('the rest of the catalog', () => {
  it('remembers manifests and listings', () => {
    using under = openMetadata();
    const { metadata } = under;
    const manifest = { digest: digest('m'), mediaType: 'a/b', sizeBytes: 3 };
    expect(metadata.manifests.get(manifest.digest)).toBeUndefined();
    metadata.manifests.record(manifest);
    expect(metadata.manifests.get(manifest.digest)).toEqual(manifest);
    metadata.manifests.record({ ...manifest, mediaType: 'c/d' });
    expect(metadata.manifests.get(manifest.digest)?.mediaType).toBe('c/d');

    expect(metadata.lists.get('tags a')).toBeUndefined();
    metadata.lists.put('tags a', { body: '["x"]', checkedAtMs: 1 });
    metadata.lists.put('tags a', { body: '["y"]', checkedAtMs: 2 });
    expect(metadata.lists.get('tags a')).toEqual({ body: '["y"]', checkedAtMs: 2 });
    metadata.lists.forget('tags a');
    expect(metadata.lists.get('tags a')).toBeUndefined();
  });

  it('bounds the listings, which clients choose: the least recently checked go', () => {
    using under = openMetadata();
    const { metadata } = under;
    for (let i = 0; i < 9000; i++) metadata.lists.put(`key ${i}`, { body: '[]', checkedAtMs: i });
    expect(metadata.lists.get('key 0')).toBeUndefined();
    expect(metadata.lists.get('key 8999')).toBeDefined();
    const left = Array.from({ length: 9000 }, (_, i) => metadata.lists.get(`key ${i}`)).filter((each) => each);
    expect(left.length).toBeLessThanOrEqual(8192 + 256);
    expect(left.length).toBeGreaterThanOrEqual(8192);
  });

  it('commits 50 ms after the first write, in one transaction, and leaves no timer when idle', async () => {
    await using temp = await tempDirectory('catalog');
    using under = openMetadata(temp.file('c.db'));
    const { metadata, clock } = under;
    await clock.advance(50);
    using outside = openReadOnly(temp.file('c.db'));
    metadata.tags.put(tagKey('a', 'v1'), record('x'));
    await clock.advance(30);
    metadata.manifests.record({ digest: digest('m'), mediaType: 'a/b', sizeBytes: 3 });
    expect(outside.metadata.tags.get(tagKey('a', 'v1'))).toBeUndefined();
    expect(clock.pending).toBe(1);
    await clock.advance(20);
    expect(outside.metadata.tags.get(tagKey('a', 'v1'))).toEqual(record('x'));
    expect(outside.metadata.manifests.get(digest('m'))).toBeDefined();
    expect(clock.pending).toBe(0);
    metadata.blobs.touch(digest('x'));
    expect(clock.pending).toBe(1);
    metadata.flush();
    expect(clock.pending).toBe(0);
  });

  it('is the same after it was closed and opened again', async () => {
    await using temp = await tempDirectory('catalog');
    const key = tagKey('a', 'v1');
    {
      using under = openMetadata(temp.file('c.db'));
      under.metadata.tags.put(key, record('x'));
      under.metadata.tags.setPinned(key, true);
      under.metadata.blobs.record({ digest: digest('x'), sizeBytes: 1, allocatedBytes: 4096 });
      under.metadata.links.add(key, digest('x'), 'manifest', { origin: byAnybody });
      under.metadata.lists.put('k', { body: '[]', checkedAtMs: 4 });
    }
    using under = openMetadata(temp.file('c.db'));
    expect(under.metadata.tags.get(key)).toEqual(record('x'));
    expect(under.metadata.tags.isPinned(key)).toBe(true);
    expect(under.metadata.blobs.get(digest('x'))).toMatchObject({ sizeBytes: 1 });
    expect(under.metadata.blobs.totals()).toEqual({ blobs: 1, allocatedBytes: 4096 });
    expect(under.metadata.links.has(key, digest('x'), 'manifest')).toBe(true);
    expect(under.metadata.lists.get('k')).toEqual({ body: '[]', checkedAtMs: 4 });
    under.metadata.close();
    under.metadata.close();
  });

  it('can be read beside its owner, always as it is committed now, and not written', async () => {
    await using temp = await tempDirectory('catalog');
    using under = openMetadata(temp.file('c.db'));
    using outside = openReadOnly(temp.file('c.db'));
    const key = tagKey('a', 'v1');
    for (const text of ['one', 'two', 'three']) {
      under.metadata.tags.put(key, record(text));
      under.metadata.flush();
      expect(outside.metadata.tags.get(key)?.digest).toBe(digest(text));
    }
    under.metadata.tags.forget(key);
    under.metadata.flush();
    expect(outside.metadata.tags.get(key)).toBeUndefined();
    expect(() => outside.metadata.tags.put(key, record('x'))).toThrow(/reading only|readonly/);
    expect(() => outside.metadata.blobs.touch(digest('x'))).toThrow(/reading only/);
  });
});

function openReadOnly(path: string): CatalogUnderTest {
  const clock = new FakeClock();
  const metadata = new Metadata({ path, clock, logger: silentLogger, isReadOnly: true });
  return { metadata, clock, [Symbol.dispose]: () => metadata.close() };
}
