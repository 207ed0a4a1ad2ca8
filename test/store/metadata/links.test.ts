/** What the catalog knows beside the bytes: on whose word a link rests, who sent the bytes, what a manifest names. */
import { DatabaseSync } from 'node:sqlite';
import { describe, expect, it } from 'vitest';
import { silentLogger } from '../../../src/lib/log.ts';
import { digestOf } from '../../../src/oci/digest.ts';
import { byAnybody, type Origin, originText, parseOrigin } from '../../../src/store/contract/origin.ts';
import { markComplete, migrate, schemaVersion } from '../../../src/store/sqlite/schema.ts';
import { SqliteCatalog } from '../../../src/store/metadata/sqlite.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { tempDirectory } from '../../support/temp.ts';
import { repositoryKey, tagKey } from '../support/harness.ts';

const open = (path = ':memory:'): SqliteCatalog & Disposable => {
  const catalog = new SqliteCatalog({ path, clock: new FakeClock(), logger: silentLogger });
  return Object.assign(catalog, { [Symbol.dispose]: () => catalog.close() });
};
const key = repositoryKey('team/app', 'ghcr.io');
const [image, layer, config] = [digestOf('image'), digestOf('layer'), digestOf('config')];
const ours: Origin = { kind: 'credential', place: 'basic alice' };

describe('the origin of a link', () => {
  it('is read back, whatever it is', () => {
    for (const origin of [byAnybody, ours, { kind: 'operator' }, { kind: 'client' }] as const) {
      expect(parseOrigin(originText(origin))).toEqual(origin);
    }
    expect(parseOrigin('of another version')).toEqual({ kind: 'legacy' });
  });

  it('is raised by a better word and never lowered', () => {
    using catalog = open();
    const words: readonly Origin[] = [ours, { kind: 'credential', place: 'helper gcr' }, { kind: 'client' }];
    for (const origin of words) catalog.addLink(key, layer, 'blob', { origin });
    expect(catalog.link(key, layer, 'blob')?.origin).toEqual(words[1]);
    catalog.addLink(key, layer, 'blob', { origin: byAnybody });
    for (const origin of words) catalog.addLink(key, layer, 'blob', { origin });
    expect(catalog.link(key, layer, 'blob')?.origin).toEqual(byAnybody);
  });

  it('and the media type belong to one repository, and outlive a restart', async () => {
    await using temp = await tempDirectory('links');
    {
      using catalog = open(temp.file('c.db'));
      catalog.addLink(key, image, 'manifest', { origin: ours, mediaType: 'a/b' });
      catalog.addLink(repositoryKey('other'), image, 'manifest', { origin: byAnybody, mediaType: 'c/d' });
      catalog.addLink(key, image, 'manifest', { origin: ours });
    }
    using catalog = open(temp.file('c.db'));
    expect(catalog.link(key, image, 'manifest')).toEqual({ origin: ours, mediaType: 'a/b' });
    expect(catalog.link(repositoryKey('other'), image, 'manifest')).toEqual({ origin: byAnybody, mediaType: 'c/d' });
  });

  it('is told of every tag', () => {
    using catalog = open();
    const record = { digest: image, mediaType: 'a/b', sizeBytes: 1, checkedAtMs: 0, isDenied: false };
    catalog.putTag(tagKey('team/app', '1', 'ghcr.io'), record);
    catalog.addLink(key, image, 'manifest', { origin: ours });
    expect([...catalog.allTags()].map(({ origin }) => origin)).toEqual([ours]);
  });
});

describe('bytes', () => {
  it('are public once a sender of theirs gives them to strangers, and have senders of their own', () => {
    using catalog = open();
    expect(catalog.provenance(layer, 'ghcr.io')).toEqual({ isPublic: false, isOwn: false });
    catalog.addSender(layer, 'ghcr.io', false);
    catalog.addSender(layer, 'quay.io', true);
    catalog.addSender(layer, 'quay.io', false);
    expect(catalog.provenance(layer, 'ghcr.io')).toEqual({ isPublic: true, isOwn: true });
    expect(catalog.provenance(layer, 'docker.io')).toEqual({ isPublic: true, isOwn: false });
  });

  it('take what is known of them along when they go', () => {
    using catalog = open();
    catalog.recordSealed({ digest: image, sizeBytes: 1, allocatedBytes: 4096 });
    catalog.recordManifest({ digest: image, mediaType: 'a/b', sizeBytes: 1 });
    catalog.addLink(key, image, 'manifest', { origin: byAnybody });
    catalog.addSender(image, 'ghcr.io', true);
    catalog.recordEdges(image, [layer, config, layer]);
    expect(catalog.totals().allocatedBytes).toBe(4096 + 2 * 320);
    expect(catalog.namedBy(key, layer, 8)).toEqual([{ digest: image, origin: byAnybody, mediaType: undefined }]);
    catalog.forgetSealed(image);
    expect(catalog.totals()).toEqual({ blobs: 0, allocatedBytes: 0 });
    expect(catalog.namedBy(key, layer, 8)).toEqual([]);
    expect(catalog.provenance(image, 'ghcr.io')).toEqual({ isPublic: false, isOwn: false });
  });
});

describe('edges', () => {
  it('lead from a blob to the manifests of one repository that name it', () => {
    using catalog = open();
    catalog.recordManifest({ digest: image, mediaType: 'a/b', sizeBytes: 1 });
    catalog.addLink(key, image, 'manifest', { origin: ours });
    catalog.recordEdges(image, [layer]);
    expect(catalog.namedBy(key, layer, 8)).toHaveLength(1);
    expect(catalog.namedBy(key, config, 8)).toEqual([]);
    expect(catalog.namedBy(repositoryKey('other'), layer, 8)).toEqual([]);
  });

  it('are not kept of a manifest with more than 2,000; its document has to be read', () => {
    using catalog = open();
    const children = Array.from({ length: 2001 }, (_, i) => digestOf(`${i}`));
    for (const digest of [image, config]) {
      catalog.recordSealed({ digest, sizeBytes: 1, allocatedBytes: 1 });
      catalog.recordManifest({ digest, mediaType: 'a/b', sizeBytes: 1 });
      catalog.addLink(key, digest, 'manifest', { origin: byAnybody });
    }
    expect(catalog.manifestsToRead('', 9).toSorted()).toEqual([image, config].toSorted());
    catalog.recordEdges(image, children.slice(1));
    expect(catalog.namedBy(key, digestOf('7'), 9)).toHaveLength(1);
    catalog.recordEdges(config, children);
    expect(catalog.namedBy(key, digestOf('0'), 9)).toEqual([]);
    expect(catalog.manifestsToRead('', 9)).toEqual([]);
    expect(catalog.unreadManifests(key, 9).map(({ digest }) => digest)).toEqual([config]);
  });
});

it('a catalog of version 1 is brought up: links of public repositories are anybody’s, the others wait to be told', async () => {
  await using temp = await tempDirectory('links');
  {
    const database = new DatabaseSync(temp.file('old.db'));
    migrate(database, 1);
    database.exec(`INSERT INTO blobs (digest, size_bytes, allocated_bytes, last_used_ms) VALUES ('${image}', 1, 1, 1);
      INSERT INTO manifests VALUES ('${image}', 'a/b', 1);
      INSERT INTO repositories VALUES (1, 'docker.io', 'shown', 1, 1), (2, 'docker.io', 'hidden', NULL, NULL);
      INSERT INTO links VALUES (1, '${image}', 'manifest'), (2, '${image}', 'manifest')`);
    markComplete(database);
    database.close();
  }
  using catalog = open(temp.file('old.db'));
  expect(catalog.link(repositoryKey('shown'), image, 'manifest')?.origin).toEqual(byAnybody);
  expect(catalog.link(repositoryKey('hidden'), image, 'manifest')?.origin).toEqual({ kind: 'legacy' });
  expect(catalog.database.get('PRAGMA user_version')).toEqual({ user_version: schemaVersion });
  expect(catalog.manifestsToRead('', 9)).toEqual([image]);
});
