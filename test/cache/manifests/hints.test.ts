/** What one answer about a manifest says about the next question. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { WeirUnderTest } from '../../conformance/support/weir.ts';
import { buildImage, buildIndex } from '../../support/image-builder.ts';
import { FakeUpstream, imageManifest } from '../support/fake-upstream.ts';
import { PolicyRig } from '../support/policy-rig.ts';

const repo = 'library/alpine';
const name = `${repo}:3.20`;
const old = imageManifest('old');
const moved = imageManifest('moved');

let upstream: FakeUpstream;
let rig: PolicyRig;

beforeEach(() => {
  upstream = new FakeUpstream();
  upstream.push(repo, old, '3.20');
  rig = new PolicyRig([upstream]);
});
afterEach(() => {
  rig[Symbol.dispose]();
});

describe('a digest that the upstream says it has no more', () => {
  it('makes a tag due that was heard to point to it', async () => {
    await rig.head(name);
    upstream.repository(repo).manifests.delete(old.digest);
    upstream.push(repo, moved, '3.20');
    expect((await rig.head(name)).digest).toBe(old.digest);
    await expect(rig.get(`${repo}@${old.digest}`)).rejects.toMatchObject({ kind: 'notFound' });
    upstream.takeCalls();
    expect((await rig.head(name)).digest).toBe(moved.digest);
    expect(upstream.takeCalls()).toEqual([`HEAD ${name}`]);
    // And it is as fresh as any.
    expect((await rig.head(name)).digest).toBe(moved.digest);
    expect(upstream.takeCalls()).toEqual([]);
  });

  it('makes a tag due whose index names it', async () => {
    await using weir = await WeirUnderTest.start({ tagTtlMs: 86_400_000 });
    const { content } = weir.upstream;
    const [purged, rebuilt] = ['purged', 'rebuilt'].map((seed) => buildIndex([buildImage({ seed })]));
    if (purged === undefined || rebuilt === undefined) throw new Error('no indexes');
    content.add(repo, purged, 'all');
    expect((await weir.ask(`${repo}/manifests/all`)).sha256).toBe(purged.digest);
    const child = purged.children[0]?.digest ?? '';
    content.remove(repo, child);
    content.add(repo, rebuilt, 'all');
    expect((await weir.ask(`${repo}/manifests/all`)).sha256).toBe(purged.digest);
    expect((await weir.ask(`${repo}/manifests/${child}`)).status).toBe(404);
    expect((await weir.ask(`${repo}/manifests/all`)).sha256).toBe(rebuilt.digest);
  });

  it('forgets no tag: one that cannot be asked about is served stale', async () => {
    await rig.head(name);
    upstream.repository(repo).manifests.delete(old.digest);
    await expect(rig.get(`${repo}@${old.digest}`)).rejects.toMatchObject({ kind: 'notFound' });
    upstream.mood = 'unreachable';
    expect(await rig.head(name)).toMatchObject({ digest: old.digest, outcome: { detail: 'stale' } });
  });

  it('says nothing about the tags of other repositories', async () => {
    upstream.push('library/other', old, '1');
    await rig.head('library/other:1');
    await rig.head(name);
    upstream.repository(repo).manifests.delete(old.digest);
    await expect(rig.get(`${repo}@${old.digest}`)).rejects.toMatchObject({ kind: 'notFound' });
    upstream.takeCalls();
    await rig.head('library/other:1');
    expect(upstream.takeCalls()).toEqual([]);
  });
});

describe('HEAD of a digest', () => {
  it('is answered from HEAD of a tag of the same repository, and survives an outage (notation verify)', async () => {
    await rig.head(name);
    upstream.takeCalls();
    const described = { digest: old.digest, mediaType: old.mediaType, sizeBytes: old.bytes.byteLength };
    expect(await rig.head(`${repo}@${old.digest}`)).toMatchObject({ ...described, outcome: { kind: 'hit' } });
    upstream.mood = 'unreachable';
    expect(await rig.head(`${repo}@${old.digest}`)).toMatchObject(described);
    expect(upstream.takeCalls()).toEqual([]);
  });

  it('is answered from another HEAD of it, and of no other repository', async () => {
    await rig.head(`${repo}@${old.digest}`);
    upstream.takeCalls();
    await rig.head(`${repo}@${old.digest}`);
    expect(upstream.takeCalls()).toEqual([]);
    await expect(rig.head(`library/other@${old.digest}`)).rejects.toMatchObject({ kind: 'notFound' });
  });
});

describe('a tag that was deleted', () => {
  beforeEach(async () => {
    await rig.get(name);
    await rig.clock.advance(60_000);
    upstream.repository(repo).tags.delete('3.20');
    await expect(rig.get(name)).rejects.toMatchObject({ kind: 'notFound' });
    await rig.clock.advance(60_000);
  });

  it('is 404 while the upstream answers, however often', async () => {
    for (let i = 0; i < 3; i++) {
      await expect(rig.get(name)).rejects.toMatchObject({ kind: 'notFound' });
      await rig.clock.advance(60_000);
    }
  });

  it.each([false, true])('has its last digest in a later outage, marked stale (restarted: %s)', async (isRestarted) => {
    if (isRestarted) rig.restart();
    upstream.mood = 'unreachable';
    for (const ask of [rig.get(name), rig.head(name)]) {
      expect(await ask).toMatchObject({ digest: old.digest, outcome: { kind: 'hit', detail: 'stale' } });
    }
    upstream.mood = undefined;
    await rig.clock.advance(60_000);
    await expect(rig.get(name)).rejects.toMatchObject({ kind: 'notFound' });
  });

  it('is what it is again when it is pushed again', async () => {
    upstream.push(repo, moved, '3.20');
    expect((await rig.get(name)).digest).toBe(moved.digest);
    expect(rig.metadata.tags.get(rig.tagKey(name))).toMatchObject({ digest: moved.digest, isDenied: false });
    expect(rig.metadata.tags.get(rig.tagKey(name))?.isGone).toBeUndefined();
  });
});

it('a list of signatures that was deleted stays deleted in an outage', async () => {
  const list = `${repo}:sha256-${old.digest.slice(7)}.sig`;
  upstream.push(repo, moved, list.split(':')[1] ?? '');
  await rig.get(list);
  await rig.clock.advance(60_000);
  upstream.repository(repo).tags.clear();
  await expect(rig.get(list)).rejects.toMatchObject({ kind: 'notFound' });
  await rig.clock.advance(60_000);
  upstream.mood = 'unreachable';
  await expect(rig.get(list)).rejects.toMatchObject({ kind: 'notFound' });
});

it('a tag that was adopted and that nobody has confirmed names no time', async () => {
  await rig.get(name);
  const record = rig.metadata.tags.get(rig.tagKey(name));
  if (record === undefined) throw new Error('no tag');
  rig.metadata.tags.put(rig.tagKey(name), { ...record, checkedAtMs: 0 });
  rig.restart();
  upstream.mood = 'offline';
  const { outcome } = await rig.get(name);
  expect(outcome).toEqual({ kind: 'hit', detail: 'offline' });
  rig.restart();
  upstream.mood = 'unreachable';
  expect((await rig.get(name)).outcome).toEqual({ kind: 'hit', detail: 'stale' });
});
