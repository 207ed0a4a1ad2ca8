import { DatabaseSync } from 'node:sqlite';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { silentLogger } from '../../../src/lib/log.ts';
import { type Digest, digestOf } from '../../../src/oci/digest.ts';
import type { TagRecord } from '../../../src/store/contract/metadata.ts';
import { SqliteCatalog } from '../../../src/store/metadata/sqlite.ts';
import { byAnybody } from '../../../src/store/contract/origin.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { tempDirectory } from '../../support/temp.ts';
import { repositoryKey, tagKey } from '../support/harness.ts';

interface CatalogUnderTest extends Disposable {
  readonly catalog: SqliteCatalog;
  readonly clock: FakeClock;
}

function openCatalog(path = ':memory:', clock = new FakeClock()): CatalogUnderTest {
  const catalog = new SqliteCatalog({ path, clock, logger: silentLogger });
  return { catalog, clock, [Symbol.dispose]: () => catalog.close() };
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
    using under = openCatalog();
    const { catalog } = under;
    expect(catalog.sealed(digest('a'))).toBeUndefined();
    catalog.recordSealed({ digest: digest('a'), sizeBytes: 10, allocatedBytes: 4096 });
    catalog.recordSealed({ digest: digest('b'), sizeBytes: 20, allocatedBytes: 8192 });
    expect(catalog.sealed(digest('a'))).toEqual({
      digest: digest('a'),
      sizeBytes: 10,
      allocatedBytes: 4096,
      lastUsedMs: under.clock.now(),
      isPinned: false,
      isSuspect: false,
    });
    expect(catalog.totals()).toEqual({ blobs: 2, allocatedBytes: 12_288 });
    catalog.recordSealed({ digest: digest('a'), sizeBytes: 30, allocatedBytes: 16_384 });
    expect(catalog.sealed(digest('a'))).toMatchObject({ sizeBytes: 30, allocatedBytes: 16_384 });
    expect(catalog.totals()).toEqual({ blobs: 2, allocatedBytes: 24_576 });
    catalog.forgetSealed(digest('a'));
    catalog.forgetSealed(digest('nobody'));
    expect(catalog.sealed(digest('a'))).toBeUndefined();
    expect(catalog.totals()).toEqual({ blobs: 1, allocatedBytes: 8192 });
  });

  it('that nobody has proved are suspect, known before or not, and are proved by recording them', () => {
    using under = openCatalog();
    const { catalog, clock } = under;
    const found = { sizeBytes: 5, allocatedBytes: 4096, lastUsedMs: clock.now() + 1e9 };
    const stamp = { mtimeNs: 2n ** 62n + 1n, inode: 2n ** 64n - 1n, ctimeNs: -1n };
    catalog.recordSealed({ digest: digest('known'), sizeBytes: 10, allocatedBytes: 4096, stamp });
    catalog.setBlobPinned(digest('known'), true);
    catalog.flush();
    expect(catalog.sealed(digest('known'))).toMatchObject({ stamp, isSuspect: false });
    catalog.recordSuspect({ ...found, digest: digest('known') });
    catalog.restamp(digest('known'), stamp);
    expect(catalog.sealed(digest('known'))).toMatchObject({ sizeBytes: 5, isSuspect: true, isPinned: true });
    expect(catalog.sealed(digest('known'))?.stamp).toBeUndefined();
    catalog.recordSuspect({ ...found, digest: digest('new') });
    // A date in the future would keep it for ever.
    expect(catalog.sealed(digest('new'))).toMatchObject({ isSuspect: true, lastUsedMs: clock.now() });
    catalog.recordSealed({ digest: digest('new'), sizeBytes: 5, allocatedBytes: 4096 });
    expect(catalog.sealed(digest('new'))).toMatchObject({ isSuspect: false });
  });

  it('are ordered by use, whatever has been committed', async () => {
    using under = openCatalog();
    const { catalog, clock } = under;
    for (const name of ['a', 'b', 'c']) {
      catalog.recordSealed({ digest: digest(name), sizeBytes: 1, allocatedBytes: 1 });
      await clock.advance(10);
    }
    catalog.touch(digest('a'));
    catalog.touch(digest('not there'));
    expect(catalog.sealed(digest('a'))?.lastUsedMs).toBe(clock.now());
    expect(catalog.oldest(2).map((blob) => blob.digest)).toEqual([digest('b'), digest('c')]);
    await clock.advance(1000);
    expect(catalog.oldest(9).map((blob) => blob.digest)).toEqual([digest('b'), digest('c'), digest('a')]);
    expect(catalog.totals().blobs).toBe(3);
  });

  it('that are pinned are not offered for eviction', () => {
    using under = openCatalog();
    const { catalog } = under;
    for (const name of ['a', 'b']) catalog.recordSealed({ digest: digest(name), sizeBytes: 1, allocatedBytes: 1 });
    catalog.setBlobPinned(digest('a'), true);
    catalog.setBlobPinned(digest('nobody'), true);
    expect(catalog.sealed(digest('a'))?.isPinned).toBe(true);
    expect(catalog.oldest(9).map((blob) => blob.digest)).toEqual([digest('b')]);
    // Being stored again does not unpin.
    catalog.recordSealed({ digest: digest('a'), sizeBytes: 1, allocatedBytes: 1 });
    expect(catalog.oldest(9)).toHaveLength(1);
    catalog.setBlobPinned(digest('a'), false);
    expect(catalog.oldest(9)).toHaveLength(2);
  });

  it('are not kept for ever by a clock that was ahead for a while', async () => {
    await using temp = await tempDirectory('catalog');
    const clock = new FakeClock();
    const realNow = clock.now();
    {
      using under = openCatalog(temp.file('c.db'), clock);
      under.catalog.recordSealed({ digest: digest('old'), sizeBytes: 1, allocatedBytes: 1 });
      clock.setWallTime(realNow + 1e12);
      under.catalog.recordSealed({ digest: digest('from the future'), sizeBytes: 1, allocatedBytes: 1 });
      clock.setWallTime(realNow);
      expect(under.catalog.sealed(digest('from the future'))?.lastUsedMs).toBe(realNow);
    }
    using under = openCatalog(temp.file('c.db'), clock);
    await clock.advance(1000);
    under.catalog.touch(digest('old'));
    await clock.advance(1000);
    expect(under.catalog.oldest(1)[0]?.digest).toBe(digest('from the future'));
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
        using under = openCatalog();
        const { catalog, clock } = under;
        const model = new Map<string, { size: number; usedAt: number; isPinned: boolean; isSuspect: boolean }>();
        for (const each of steps) {
          await clock.advance(1);
          if (each.do === 'flush') catalog.flush();
          else if (each.do === 'wait') await clock.advance(100);
          else {
            const known = model.get(each.name);
            const fresh = { usedAt: clock.now(), isPinned: known?.isPinned ?? false };
            if (each.do === 'seal') {
              catalog.recordSealed({ digest: digest(each.name), sizeBytes: each.size, allocatedBytes: each.size });
              model.set(each.name, { ...fresh, size: each.size, isSuspect: false });
            } else if (each.do === 'find') {
              const found = {
                sizeBytes: each.size,
                allocatedBytes: each.size,
                lastUsedMs: clock.now(),
              };
              catalog.recordSuspect({ digest: digest(each.name), ...found });
              model.set(each.name, { ...fresh, ...known, size: each.size, isSuspect: true });
            } else if (each.do === 'forget') {
              catalog.forgetSealed(digest(each.name));
              model.delete(each.name);
            } else if (each.do === 'touch') {
              catalog.touch(digest(each.name));
              if (known !== undefined) known.usedAt = clock.now();
            } else {
              catalog.setBlobPinned(digest(each.name), each.do === 'pin');
              if (known !== undefined) known.isPinned = each.do === 'pin';
            }
          }
          for (const [key, { size, usedAt, isPinned, isSuspect }] of model) {
            expect(catalog.sealed(digest(key))).toEqual({
              digest: digest(key),
              sizeBytes: size,
              allocatedBytes: size,
              lastUsedMs: usedAt,
              isPinned,
              isSuspect,
            });
          }
          const sum = [...model.values()].reduce((total, { size }) => total + size, 0);
          expect(catalog.totals()).toEqual({ blobs: model.size, allocatedBytes: sum });
          const order = [...model]
            .filter(([, { isPinned }]) => !isPinned)
            .toSorted(([, one], [, other]) => one.usedAt - other.usedAt)
            .map(([key]) => digest(key));
          expect(catalog.oldest(9).map((blob) => blob.digest)).toEqual(order);
        }
      }),
      { numRuns: 100 },
    );
  });

  it('stay fast with 100,000 rows: no question walks through the table', async () => {
    await using temp = await tempDirectory('catalog');
    {
      using under = openCatalog(temp.file('c.db'));
      for (let i = 0; i < 100_000; i++) {
        under.catalog.recordSealed({ digest: digest(String(i)), sizeBytes: i, allocatedBytes: 4096 });
      }
      expect(under.catalog.totals()).toEqual({ blobs: 100_000, allocatedBytes: 409_600_000 });
      expect(under.catalog.oldest(1000)).toHaveLength(1000);
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
    using under = openCatalog();
    const { catalog } = under;
    const key = tagKey('library/alpine', '3.20');
    expect(catalog.tag(key)).toBeUndefined();
    catalog.putTag(key, record('one'));
    expect(catalog.tag(key)).toEqual(record('one'));
    catalog.putTag(key, record('one', { checkedAtMs: 2000 }));
    expect(catalog.tag(key)?.checkedAtMs).toBe(2000);
    catalog.putTag(key, record('one', { isDenied: true }));
    expect(catalog.tag(key)?.isDenied).toBe(true);
    expect(catalog.tag(tagKey('library/alpine', '3.20', 'ghcr.io'))).toBeUndefined();
    expect(catalog.tag(tagKey('library/alpin', '3.20'))).toBeUndefined();
    catalog.forgetTag(key);
    expect(catalog.tag(key)).toBeUndefined();
    catalog.forgetTag(tagKey('never/seen', 'x'));
  });

  it('keep their pin through new bindings', () => {
    using under = openCatalog();
    const { catalog } = under;
    const key = tagKey('a', 'v1');
    catalog.setTagPinned(key, true);
    expect(catalog.isTagPinned(key)).toBe(false);
    catalog.putTag(key, record('one'));
    expect(catalog.isTagPinned(key)).toBe(false);
    catalog.setTagPinned(key, true);
    catalog.putTag(key, record('two'));
    expect(catalog.isTagPinned(key)).toBe(true);
    expect(catalog.isTagPinned(tagKey('a', 'v2'))).toBe(false);
    catalog.setTagPinned(key, false);
    expect(catalog.isTagPinned(key)).toBe(false);
  });

  it('are listed per repository in order, and all of them across pages, even while they change', () => {
    using under = openCatalog();
    const { catalog } = under;
    for (let i = 0; i < 1300; i++) catalog.putTag(tagKey(`repo${i % 7}`, `tag${i}`), record(String(i)));
    expect(catalog.tagsOf(repositoryKey('repo3'))).toEqual(
      Array.from({ length: 1300 }, (_, i) => i)
        .filter((i) => i % 7 === 3)
        .map((i) => `tag${i}`)
        .toSorted(),
    );
    expect(catalog.tagsOf(repositoryKey('unknown'))).toEqual([]);
    const seen = new Set<string>();
    for (const { upstream, repository, tag, digest: bound } of catalog.allTags()) {
      expect(upstream).toBe('docker.io');
      expect(bound).toBe(digest(tag.slice(3)));
      seen.add(`${repository}:${tag}`);
      catalog.forgetTag({ upstream, repository, tag });
    }
    expect(seen.size).toBe(1300);
    expect([...catalog.allTags()]).toEqual([]);
  });

  it('announce changes once per commit, confirmations not at all', async () => {
    using under = openCatalog();
    const { catalog, clock } = under;
    let announced = 0;
    catalog.onTagsChanged(() => announced++);
    catalog.putTag(tagKey('a', '1'), record('one'));
    catalog.putTag(tagKey('a', '2'), record('two'));
    expect(announced).toBe(0);
    await clock.advance(50);
    expect(announced).toBe(1);
    catalog.putTag(tagKey('a', '1'), record('one', { checkedAtMs: 9000 }));
    catalog.touch(digest('one'));
    await clock.advance(50);
    expect(announced).toBe(1);
    catalog.putTag(tagKey('a', '1'), record('one', { isDenied: true }));
    catalog.flush();
    expect(announced).toBe(2);
    catalog.forgetTag(tagKey('a', '1'));
    catalog.flush();
    expect(announced).toBe(3);
    catalog.forgetRepository(repositoryKey('a'));
    catalog.flush();
    expect(announced).toBe(4);
  });
});

describe('links in the catalog', () => {
  it('belong to one upstream, repository, digest and kind', () => {
    using under = openCatalog();
    const { catalog } = under;
    const key = repositoryKey('team/app', 'ghcr.io');
    catalog.addLink(key, digest('x'), 'blob', { origin: byAnybody });
    catalog.addLink(key, digest('x'), 'blob', { origin: byAnybody });
    expect(catalog.hasLink(key, digest('x'), 'blob')).toBe(true);
    expect(catalog.hasLink(key, digest('x'), 'manifest')).toBe(false);
    expect(catalog.hasLink(key, digest('y'), 'blob')).toBe(false);
    expect(catalog.hasLink(repositoryKey('team/app'), digest('x'), 'blob')).toBe(false);
    expect(catalog.hasLink(repositoryKey('team', 'ghcr.io'), digest('x'), 'blob')).toBe(false);
  });

  it('tell who may serve a digest, up to a limit', () => {
    using under = openCatalog();
    const { catalog } = under;
    for (const name of ['a', 'b', 'c'])
      catalog.addLink(repositoryKey(name), digest('x'), 'blob', { origin: byAnybody });
    catalog.addLink(repositoryKey('d'), digest('x'), 'manifest', { origin: byAnybody });
    expect(catalog.linksOf(digest('x'), 'blob', 10)).toEqual(['a', 'b', 'c'].map((name) => repositoryKey(name)));
    expect(catalog.linksOf(digest('x'), 'blob', 2)).toHaveLength(2);
    expect(catalog.linksOf(digest('y'), 'blob', 10)).toEqual([]);
  });

  it('and tags go when their repository is forgotten, and only then', () => {
    using under = openCatalog();
    const { catalog } = under;
    for (const name of ['a', 'b']) {
      catalog.addLink(repositoryKey(name), digest('x'), 'blob', { origin: byAnybody });
      catalog.putTag(tagKey(name, 'v1'), record('x'));
      expect(catalog.hasLink(repositoryKey(name), digest('x'), 'blob')).toBe(true);
      expect(catalog.tag(tagKey(name, 'v1'))).toBeDefined();
    }
    catalog.forgetRepository(repositoryKey('a'));
    catalog.forgetRepository(repositoryKey('never seen'.replace(' ', '/')));
    expect(catalog.hasLink(repositoryKey('a'), digest('x'), 'blob')).toBe(false);
    expect(catalog.tag(tagKey('a', 'v1'))).toBeUndefined();
    expect(catalog.tagsOf(repositoryKey('a'))).toEqual([]);
    expect(catalog.hasLink(repositoryKey('b'), digest('x'), 'blob')).toBe(true);
    expect(catalog.tag(tagKey('b', 'v1'))).toBeDefined();
    catalog.addLink(repositoryKey('a'), digest('x'), 'blob', { origin: byAnybody });
    expect(catalog.hasLink(repositoryKey('a'), digest('x'), 'blob')).toBe(true);
  });

  it('make their repository a known one, public if a stranger or the operator gave a word; tags do not', () => {
    using under = openCatalog();
    const { catalog } = under;
    const ours = { origin: { kind: 'credential', place: 'basic me' } } as const;
    catalog.addLink(repositoryKey('z'), digest('x'), 'blob', { origin: byAnybody });
    catalog.putTag(tagKey('a', 'v1'), record('x'));
    catalog.addLink(repositoryKey('m', 'a.example'), digest('x'), 'manifest', { origin: { kind: 'operator' } });
    catalog.addLink(repositoryKey('ours'), digest('x'), 'blob', ours);
    const listed = (upstream: string, after?: string): readonly string[] =>
      [...catalog.repositoriesOf(upstream, after)].map(({ repository, isPublic }) => `${repository} ${isPublic}`);
    expect(listed('a.example')).toEqual(['m true']);
    expect(listed('docker.io')).toEqual(['ours false', 'z true']);
    expect(listed('docker.io', 'ours')).toEqual(['z true']);
  });
});

describe('the rest of the catalog', () => {
  it('remembers manifests and listings', () => {
    using under = openCatalog();
    const { catalog } = under;
    const manifest = { digest: digest('m'), mediaType: 'a/b', sizeBytes: 3 };
    expect(catalog.manifest(manifest.digest)).toBeUndefined();
    catalog.recordManifest(manifest);
    expect(catalog.manifest(manifest.digest)).toEqual(manifest);
    catalog.recordManifest({ ...manifest, mediaType: 'c/d' });
    expect(catalog.manifest(manifest.digest)?.mediaType).toBe('c/d');

    expect(catalog.listing('tags a')).toBeUndefined();
    catalog.putListing('tags a', { body: '["x"]', checkedAtMs: 1 });
    catalog.putListing('tags a', { body: '["y"]', checkedAtMs: 2 });
    expect(catalog.listing('tags a')).toEqual({ body: '["y"]', checkedAtMs: 2 });
    catalog.forgetListing('tags a');
    expect(catalog.listing('tags a')).toBeUndefined();
  });

  it('bounds the listings, which clients choose: the least recently checked go', () => {
    using under = openCatalog();
    const { catalog } = under;
    for (let i = 0; i < 9000; i++) catalog.putListing(`key ${i}`, { body: '[]', checkedAtMs: i });
    expect(catalog.listing('key 0')).toBeUndefined();
    expect(catalog.listing('key 8999')).toBeDefined();
    const left = Array.from({ length: 9000 }, (_, i) => catalog.listing(`key ${i}`)).filter((each) => each);
    expect(left.length).toBeLessThanOrEqual(8192 + 256);
    expect(left.length).toBeGreaterThanOrEqual(8192);
  });

  it('commits 50 ms after the first write, in one transaction, and leaves no timer when idle', async () => {
    await using temp = await tempDirectory('catalog');
    using under = openCatalog(temp.file('c.db'));
    const { catalog, clock } = under;
    await clock.advance(50);
    using outside = openReadOnly(temp.file('c.db'));
    catalog.putTag(tagKey('a', 'v1'), record('x'));
    await clock.advance(30);
    catalog.recordManifest({ digest: digest('m'), mediaType: 'a/b', sizeBytes: 3 });
    expect(outside.catalog.tag(tagKey('a', 'v1'))).toBeUndefined();
    expect(clock.pending).toBe(1);
    await clock.advance(20);
    expect(outside.catalog.tag(tagKey('a', 'v1'))).toEqual(record('x'));
    expect(outside.catalog.manifest(digest('m'))).toBeDefined();
    expect(clock.pending).toBe(0);
    catalog.touch(digest('x'));
    expect(clock.pending).toBe(1);
    catalog.flush();
    expect(clock.pending).toBe(0);
  });

  it('is the same after it was closed and opened again', async () => {
    await using temp = await tempDirectory('catalog');
    const key = tagKey('a', 'v1');
    {
      using under = openCatalog(temp.file('c.db'));
      under.catalog.putTag(key, record('x'));
      under.catalog.setTagPinned(key, true);
      under.catalog.recordSealed({ digest: digest('x'), sizeBytes: 1, allocatedBytes: 4096 });
      under.catalog.addLink(key, digest('x'), 'manifest', { origin: byAnybody });
      under.catalog.putListing('k', { body: '[]', checkedAtMs: 4 });
    }
    using under = openCatalog(temp.file('c.db'));
    expect(under.catalog.tag(key)).toEqual(record('x'));
    expect(under.catalog.isTagPinned(key)).toBe(true);
    expect(under.catalog.sealed(digest('x'))).toMatchObject({ sizeBytes: 1 });
    expect(under.catalog.totals()).toEqual({ blobs: 1, allocatedBytes: 4096 });
    expect(under.catalog.hasLink(key, digest('x'), 'manifest')).toBe(true);
    expect(under.catalog.listing('k')).toEqual({ body: '[]', checkedAtMs: 4 });
    under.catalog.close();
    under.catalog.close();
  });

  it('can be read beside its owner, always as it is committed now, and not written', async () => {
    await using temp = await tempDirectory('catalog');
    using under = openCatalog(temp.file('c.db'));
    using outside = openReadOnly(temp.file('c.db'));
    const key = tagKey('a', 'v1');
    for (const text of ['one', 'two', 'three']) {
      under.catalog.putTag(key, record(text));
      under.catalog.flush();
      expect(outside.catalog.tag(key)?.digest).toBe(digest(text));
    }
    under.catalog.forgetTag(key);
    under.catalog.flush();
    expect(outside.catalog.tag(key)).toBeUndefined();
    expect(() => outside.catalog.putTag(key, record('x'))).toThrow(/reading only|readonly/);
    expect(() => outside.catalog.touch(digest('x'))).toThrow(/reading only/);
  });
});

function openReadOnly(path: string): CatalogUnderTest {
  const clock = new FakeClock();
  const catalog = new SqliteCatalog({ path, clock, logger: silentLogger, isReadOnly: true });
  return { catalog, clock, [Symbol.dispose]: () => catalog.close() };
}
