/** What the catalog knows beside the bytes: on whose word a link rests, who sent the bytes, what a manifest names. */
import { DatabaseSync } from 'node:sqlite';
import { describe, expect, it } from 'vitest';
import { silentLogger } from '../../../src/lib/log.ts';
import { digestOf } from '../../../src/oci/digest.ts';
import { byAnybody, type Origin, originText, parseOrigin } from '../../../src/store/contract/origin.ts';
import { markComplete, migrate, schemaVersion } from '../../../src/store/sqlite/schema.ts';
import { Metadata } from '../../../src/store/metadata/metadata.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { tempDirectory } from '../../support/temp.ts';
import { repositoryKey, tagKey } from '../support/harness.ts';

const open = (path = ':memory:'): Metadata & Disposable => {
  const metadata = new Metadata({ path, clock: new FakeClock(), logger: silentLogger });
  return Object.assign(metadata, { [Symbol.dispose]: () => metadata.close() });
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
    using metadata = open();
    const words: readonly Origin[] = [ours, { kind: 'credential', place: 'helper gcr' }, { kind: 'client' }];
    for (const origin of words) metadata.links.add(key, layer, 'blob', { origin });
    expect(metadata.links.get(key, layer, 'blob')?.origin).toEqual(words[1]);
    metadata.links.add(key, layer, 'blob', { origin: byAnybody });
    for (const origin of words) metadata.links.add(key, layer, 'blob', { origin });
    expect(metadata.links.get(key, layer, 'blob')?.origin).toEqual(byAnybody);
  });

  it('and the media type belong to one repository, and outlive a restart', async () => {
    await using temp = await tempDirectory('links');
    {
      using metadata = open(temp.file('c.db'));
      metadata.links.add(key, image, 'manifest', { origin: ours, mediaType: 'a/b' });
      metadata.links.add(repositoryKey('other'), image, 'manifest', { origin: byAnybody, mediaType: 'c/d' });
      metadata.links.add(key, image, 'manifest', { origin: ours });
    }
    using metadata = open(temp.file('c.db'));
    expect(metadata.links.get(key, image, 'manifest')).toEqual({ origin: ours, mediaType: 'a/b' });
    expect(metadata.links.get(repositoryKey('other'), image, 'manifest')).toEqual({
      origin: byAnybody,
      mediaType: 'c/d',
    });
  });

  it('is told of every tag', () => {
    using metadata = open();
    const record = { digest: image, mediaType: 'a/b', sizeBytes: 1, checkedAtMs: 0, isDenied: false };
    metadata.tags.put(tagKey('team/app', '1', 'ghcr.io'), record);
    metadata.links.add(key, image, 'manifest', { origin: ours });
    expect([...metadata.tags.all()].map(({ origin }) => origin)).toEqual([ours]);
  });
});

describe('bytes', () => {
  it('are public once a sender of theirs gives them to strangers, and have senders of their own', () => {
    using metadata = open();
    expect(metadata.provenance.get(layer, 'ghcr.io')).toEqual({ isPublic: false, isOwn: false });
    metadata.provenance.addSender(layer, 'ghcr.io', false);
    metadata.provenance.addSender(layer, 'quay.io', true);
    metadata.provenance.addSender(layer, 'quay.io', false);
    expect(metadata.provenance.get(layer, 'ghcr.io')).toEqual({ isPublic: true, isOwn: true });
    expect(metadata.provenance.get(layer, 'docker.io')).toEqual({ isPublic: true, isOwn: false });
  });

  it('take what is known of them along when they go', () => {
    using metadata = open();
    metadata.blobs.record({ digest: image, sizeBytes: 1, allocatedBytes: 4096 });
    metadata.manifests.record({ digest: image, mediaType: 'a/b', sizeBytes: 1 });
    metadata.links.add(key, image, 'manifest', { origin: byAnybody });
    metadata.provenance.addSender(image, 'ghcr.io', true);
    metadata.edges.record(image, [layer, config, layer]);
    expect(metadata.blobs.totals().allocatedBytes).toBe(4096 + 2 * 320);
    expect(metadata.edges.namedBy(key, layer, 8)).toEqual([{ digest: image, origin: byAnybody, mediaType: undefined }]);
    metadata.blobs.forget(image);
    expect(metadata.blobs.totals()).toEqual({ blobs: 0, allocatedBytes: 0 });
    expect(metadata.edges.namedBy(key, layer, 8)).toEqual([]);
    expect(metadata.provenance.get(image, 'ghcr.io')).toEqual({ isPublic: false, isOwn: false });
  });
});

describe('edges', () => {
  it('lead from a blob to the manifests of one repository that name it', () => {
    using metadata = open();
    metadata.manifests.record({ digest: image, mediaType: 'a/b', sizeBytes: 1 });
    metadata.links.add(key, image, 'manifest', { origin: ours });
    metadata.edges.record(image, [layer]);
    expect(metadata.edges.namedBy(key, layer, 8)).toHaveLength(1);
    expect(metadata.edges.namedBy(key, config, 8)).toEqual([]);
    expect(metadata.edges.namedBy(repositoryKey('other'), layer, 8)).toEqual([]);
  });

  it('are not kept of a manifest with more than 2,000; its document has to be read', () => {
    using metadata = open();
    const children = Array.from({ length: 2001 }, (_, i) => digestOf(`${i}`));
    for (const digest of [image, config]) {
      metadata.blobs.record({ digest, sizeBytes: 1, allocatedBytes: 1 });
      metadata.manifests.record({ digest, mediaType: 'a/b', sizeBytes: 1 });
      metadata.links.add(key, digest, 'manifest', { origin: byAnybody });
    }
    expect(metadata.edges.toRead('', 9).toSorted()).toEqual([image, config].toSorted());
    metadata.edges.record(image, children.slice(1));
    expect(metadata.edges.namedBy(key, digestOf('7'), 9)).toHaveLength(1);
    metadata.edges.record(config, children);
    expect(metadata.edges.namedBy(key, digestOf('0'), 9)).toEqual([]);
    expect(metadata.edges.toRead('', 9)).toEqual([]);
    expect(metadata.edges.unread(key, 9).map(({ digest }) => digest)).toEqual([config]);
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
  using metadata = open(temp.file('old.db'));
  expect(metadata.links.get(repositoryKey('shown'), image, 'manifest')?.origin).toEqual(byAnybody);
  expect(metadata.links.get(repositoryKey('hidden'), image, 'manifest')?.origin).toEqual({ kind: 'legacy' });
  expect(metadata.database.get('PRAGMA user_version')).toEqual({ user_version: schemaVersion });
  expect(metadata.edges.toRead('', 9)).toEqual([image]);
});
