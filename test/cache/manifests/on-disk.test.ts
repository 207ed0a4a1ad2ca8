/** Manifests and tags over the real stores, the one on disk through a restart. */
import { readFile, rm, writeFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { UpstreamRights } from '../../../src/cache/visibility/upstream-rights.ts';
import { Manifests } from '../../../src/cache/manifests/manifests.ts';
import { defaultPolicyOptions } from '../../../src/cache/contract/deps.ts';
import { systemClock } from '../../../src/lib/clock.ts';
import { ChangeCounters } from '../../../src/lib/change-counters.ts';
import { silentLogger } from '../../../src/lib/log.ts';
import { digestHex } from '../../../src/oci/digest.ts';
import type { BlobStore } from '../../../src/store/contract/blob-store.ts';

import { openStore } from '../../../src/store/open.ts';
import { Metadata } from '../../../src/store/metadata/metadata.ts';
import { tempDirectory } from '../../support/temp.ts';
import { repository } from '../../fill/support/engine.ts';
import { FaultyStore } from '../../fill/support/faulty-store.ts';
import { FakeUpstream, imageManifest } from '../support/fake-upstream.ts';
import { patient, tag } from '../support/policy-rig.ts';

const repo = 'library/alpine';
const image = imageManifest('image');
const key = { upstream: 'docker.io', repository: repository(repo) };
const byTag = { ...key, reference: { kind: 'tag', tag: tag('3.20') }, method: 'get' } as const;
const byDigest = { ...key, reference: { kind: 'digest', digest: image.digest }, method: 'get' } as const;

function upstreamWithImage(): FakeUpstream {
  const upstream = new FakeUpstream('docker.io');
  upstream.push(repo, image, '3.20');
  return upstream;
}

function manifestsOver(upstream: FakeUpstream, store: BlobStore, metadata: Metadata): Manifests {
  const policy = {
    upstream,
    access: 'public',
    tagTtlMs: 60_000,
    staleIfErrorMs: 86_400_000,
    isImmutableTag: () => false,
  } as const;
  const nothing = (): void => undefined;
  const events = {
    fillStarted: nothing,
    fillEnded: nothing,
    fillJoined: nothing,
    fillResumed: nothing,
    prefetchEnded: nothing,
    unprovedRangeBytes: nothing,
    evicted: nothing,
    rejected: nothing,
  };
  const upstreams = new Map([['docker.io', policy]]);
  const shared = {
    metadata,
    store,
    upstreams,
    clock: systemClock,
    logger: silentLogger,
    options: defaultPolicyOptions,
    changes: new ChangeCounters(),
  };
  return new Manifests({ ...shared, events, rights: new UpstreamRights(shared) });
}

const never = new AbortController().signal;

describe('on disk', () => {
  it('a manifest lies under its digest, is served after a restart without a question, and is fetched again when lost', async () => {
    await using temp = await tempDirectory('manifests');
    const upstream = upstreamWithImage();
    const root = temp.file('root');
    const path = temp.file('root', 'blobs', 'sha256', digestHex(image.digest));
    const lives = [
      { damage: async () => undefined, outcome: { kind: 'miss', isStored: true } },
      { damage: async () => undefined, outcome: { kind: 'hit' } },
      { damage: () => rm(path), outcome: { kind: 'miss', isStored: true } },
    ];
    for (const { damage, outcome } of lives) {
      await damage();
      const opened = await openStore({ root, partialTtlMs: 1, clock: systemClock, logger: silentLogger });
      const manifests = manifestsOver(upstream, opened.store, opened.metadata);
      const answer = await patient(manifests.manifest(byDigest, never), 'a manifest');
      expect(answer.outcome).toMatchObject(outcome);
      expect(Buffer.from(answer.bytes ?? [])).toEqual(Buffer.from(image.bytes));
      expect(await readFile(path)).toEqual(Buffer.from(image.bytes));
      expect(await patient(manifests.manifest(byTag, never), 'a tag')).toMatchObject({ digest: image.digest });
      manifests.close();
      await opened.close();
    }
    // One for the tag in the first life; the catalog had it in the others.
    expect(upstream.calls.filter((call) => call.includes(':3.20'))).toEqual([`GET ${repo}:3.20`]);
    expect(await readFile(temp.file('root', 'index.json'), 'utf8')).toContain('docker.io/library/alpine:3.20');
  });

  it('a manifest that rotted is never served', async () => {
    await using temp = await tempDirectory('manifests');
    const upstream = upstreamWithImage();
    const root = temp.file('root');
    const path = temp.file('root', 'blobs', 'sha256', digestHex(image.digest));
    for (const isRotten of [false, true]) {
      if (isRotten) {
        await rm(path);
        await writeFile(path, image.bytes.toReversed());
      }
      const opened = await openStore({ root, partialTtlMs: 1, clock: systemClock, logger: silentLogger });
      const manifests = manifestsOver(upstream, opened.store, opened.metadata);
      const answer = await patient(manifests.manifest(byDigest, never), 'a manifest');
      expect(Buffer.from(answer.bytes ?? [])).toEqual(Buffer.from(image.bytes));
      manifests.close();
      await opened.close();
    }
    expect(await readFile(path)).toEqual(Buffer.from(image.bytes));
    expect(upstream.calls).toHaveLength(2);
  });
});

describe('on a full disk', () => {
  it('a manifest is not kept, and that costs no pull', async () => {
    const metadata = new Metadata({ path: ':memory:', clock: systemClock, logger: silentLogger });
    const store = new FaultyStore(metadata);
    store.fullAt = 10;
    const upstream = upstreamWithImage();
    const manifests = manifestsOver(upstream, store, metadata);
    expect((await manifests.manifest(byTag, never)).outcome.kind).toBe('bypass');
    expect((await manifests.manifest(byTag, never)).outcome.kind).toBe('hit');
    expect(store.usage().blobs).toBe(0);
    manifests.close();
    metadata.close();
  });
});
