import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { RememberedRefusal } from '../../../src/cache/freshness/negative-cache.ts';
import { Gate } from '../../support/gate.ts';
import { FakeUpstream, imageManifest } from '../support/fake-upstream.ts';
import { PolicyRig, tag } from '../support/policy-rig.ts';

const name = 'library/alpine:3.20';
const repo = 'library/alpine';
const old = imageManifest('old');
const moved = imageManifest('moved');
const year = 365 * 86_400_000;

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

describe('a tag that is fresh', () => {
  it('is answered without asking, with what is left of its time', async () => {
    await rig.get(name);
    upstream.takeCalls();
    await rig.clock.advance(18_000);
    const answer = await rig.get(name);
    expect(answer).toMatchObject({ digest: old.digest, mediaType: old.mediaType, sizeBytes: old.bytes.byteLength });
    expect(Buffer.from(answer.bytes ?? [])).toEqual(Buffer.from(old.bytes));
    expect(answer.outcome).toEqual({ kind: 'hit', ttlSeconds: 42 });
    expect(upstream.calls).toEqual([]);
  });

  it('stays with its digest until its time is over, then follows the upstream', async () => {
    await rig.get(name);
    upstream.push(repo, moved, '3.20');
    await rig.clock.advance(59_999);
    expect((await rig.get(name)).digest).toBe(old.digest);
    await rig.clock.advance(1);
    expect((await rig.get(name)).digest).toBe(moved.digest);
  });

  it('whose manifest was evicted is fetched again by digest, through the same repository', async () => {
    await rig.get(name);
    rig.restart();
    await rig.store.remove(old.digest);
    upstream.takeCalls();
    expect((await rig.get(name)).outcome).toMatchObject({ kind: 'miss', isStored: true });
    expect(upstream.takeCalls()).toEqual([`GET ${repo}@${old.digest}`]);
  });

  it('whose manifest is gone here and upstream is asked about again', async () => {
    await rig.get(name);
    rig.restart();
    await rig.store.remove(old.digest);
    upstream.repository(repo).manifests.delete(old.digest);
    upstream.push(repo, moved, '3.20');
    expect((await rig.get(name)).digest).toBe(moved.digest);
  });
});

describe('a tag that has expired', () => {
  beforeEach(async () => {
    await rig.get(name);
    await rig.clock.advance(60_000);
    upstream.takeCalls();
  });

  it('costs one HEAD when it has not moved, and is fresh again', async () => {
    const answer = await rig.get(name);
    expect(answer).toMatchObject({ digest: old.digest, outcome: { kind: 'stale', ttlSeconds: 60 } });
    expect((await rig.get(name)).outcome.kind).toBe('hit');
    expect(upstream.takeCalls()).toEqual([`HEAD ${name}`]);
  });

  it('costs one HEAD and one GET by digest when it has moved', async () => {
    upstream.push(repo, moved, '3.20');
    const answer = await rig.get(name);
    expect(answer).toMatchObject({ digest: moved.digest, outcome: { kind: 'stale', isStored: true } });
    expect(upstream.takeCalls()).toEqual([`HEAD ${name}`, `GET ${repo}@${moved.digest}`]);
    expect(rig.metadata.tags.get(rig.tagKey(name))?.digest).toBe(moved.digest);
  });

  it('costs twenty concurrent clients one HEAD', async () => {
    const gate = new Gate();
    upstream.gate = gate;
    const answers = Array.from({ length: 20 }, (_, i) => (i % 2 === 0 ? rig.head(name) : rig.get(name)));
    await gate.arrived();
    await rig.clock.advance(0);
    gate.open();
    const outcomes = (await Promise.all(answers)).map(({ outcome }) => outcome.isCollapsed === true);
    expect(outcomes.filter(Boolean)).toHaveLength(19);
    expect(upstream.takeCalls()).toEqual([`HEAD ${name}`]);
  });

  it('is bound without a GET when it has moved to a manifest that is here', async () => {
    upstream.push('library/other', moved, 'x');
    await rig.get('library/other:x');
    upstream.push(repo, moved, '3.20');
    upstream.takeCalls();
    expect((await rig.get(name)).digest).toBe(moved.digest);
    expect(upstream.takeCalls()).toEqual([`HEAD ${name}`]);
    expect(rig.metadata.links.has(rig.key(repo), moved.digest, 'manifest')).toBe(true);
  });

  it('is bound for HEAD too when it has moved, so that an outage finds it here', async () => {
    upstream.push(repo, moved, '3.20');
    expect((await rig.head(name)).digest).toBe(moved.digest);
    expect(rig.metadata.tags.get(rig.tagKey(name))?.digest).toBe(moved.digest);
    upstream.mood = 'unreachable';
    expect((await rig.get(`${repo}@${moved.digest}`)).outcome.kind).toBe('hit');
  });

  it('is fetched by tag and hashed when HEAD tells no digest', async () => {
    upstream.headLacks.add('digest');
    upstream.push(repo, moved, '3.20');
    expect((await rig.head(name)).digest).toBe(moved.digest);
    expect(upstream.takeCalls()).toEqual([`HEAD ${name}`, `GET ${name}`]);
  });

  it('is fetched by tag when the upstream knows no digests', async () => {
    upstream.push(repo, moved, '3.20');
    upstream.refusesDigests = true;
    expect((await rig.get(name)).digest).toBe(moved.digest);
    expect(upstream.takeCalls()).toEqual([`HEAD ${name}`, `GET ${repo}@${moved.digest}`, `GET ${name}`]);
  });

  it('keeps its old manifest when the new one comes with wrong bytes, and counts that', async () => {
    upstream.push(repo, moved, '3.20');
    upstream.wrongBytes = imageManifest('forged').bytes;
    const answer = await rig.get(name);
    expect(answer).toMatchObject({ digest: old.digest, outcome: { kind: 'hit', detail: 'stale' } });
    expect(rig.rejected).toEqual(['digest-mismatch']);
    expect([...rig.store.blobs.keys()]).toEqual([old.digest]);
  });

  it('is dated from when the question was sent', async () => {
    const gate = new Gate();
    upstream.gate = gate;
    const answer = rig.head(name);
    await gate.arrived();
    await rig.clock.advance(1_500);
    gate.open();
    await answer;
    await rig.clock.advance(58_500);
    upstream.takeCalls();
    await rig.head(name);
    expect(upstream.takeCalls()).toEqual([`HEAD ${name}`]);
  });

  it('is not forgotten because a client left while it was asked about', async () => {
    const gate = new Gate();
    upstream.gate = gate;
    upstream.push(repo, moved, '3.20');
    const client = new AbortController();
    const left = rig.get(name, { signal: client.signal });
    await gate.arrived();
    client.abort(new Error('client left'));
    await expect(left).rejects.toThrow('client left');
    gate.open();
    await rig.clock.advance(0);
    expect(rig.metadata.tags.get(rig.tagKey(name))?.digest).toBe(moved.digest);
  });
});

describe('a tag that matches an immutable pattern', () => {
  it('is never asked about again', async () => {
    using fixed = new PolicyRig([upstream], { policy: { isImmutableTag: (text) => text === '3.20' } });
    await fixed.get(name);
    upstream.takeCalls();
    await fixed.clock.advance(10 * year);
    expect((await fixed.get(name)).outcome).toEqual({ kind: 'hit' });
    expect(upstream.takeCalls()).toEqual([]);
  });

  it.each(['sha256-abc', 'sha256-abc.sig', 'sha256-abc.att', 'sha512-abc.sbom'])(
    'but %s is a list that grows, fresh for 30 s',
    async (text) => {
      using fixed = new PolicyRig([upstream], { policy: { isImmutableTag: () => true, tagTtlMs: year } });
      upstream.push(repo, old, text);
      await fixed.get(`${repo}:${text}`);
      await fixed.clock.advance(29_999);
      upstream.takeCalls();
      await fixed.get(`${repo}:${text}`);
      expect(upstream.takeCalls()).toEqual([]);
      await fixed.clock.advance(1);
      await fixed.get(`${repo}:${text}`);
      expect(upstream.takeCalls()).toEqual([`HEAD ${repo}:${text}`]);
    },
  );
});

describe('404', () => {
  it('is followed, and the binding is kept for an outage', async () => {
    await rig.get(name);
    await rig.clock.advance(60_000);
    upstream.repository(repo).tags.delete('3.20');
    await expect(rig.get(name)).rejects.toMatchObject({ kind: 'notFound', code: 'MANIFEST_UNKNOWN' });
    expect(rig.metadata.tags.get(rig.tagKey(name))).toMatchObject({ isDenied: true, isGone: true });
  });

  it('is remembered for 5 s, for this tag only, and then a push is seen', async () => {
    await expect(rig.get(`${repo}:new`)).rejects.toMatchObject({ kind: 'notFound' });
    upstream.push(repo, moved, 'new');
    upstream.takeCalls();
    await rig.clock.advance(4_999);
    await expect(rig.get(`${repo}:new`)).rejects.toBeInstanceOf(RememberedRefusal);
    expect(upstream.takeCalls()).toEqual([]);
    await rig.get(name);
    await rig.clock.advance(1);
    expect((await rig.get(`${repo}:new`)).digest).toBe(moved.digest);
  });

  it('does not take a pinned tag away, which is served stale', async () => {
    await rig.get(name);
    rig.metadata.tags.setPinned(rig.tagKey(name), true);
    await rig.clock.advance(10 * year);
    upstream.repository(repo).tags.delete('3.20');
    for (let i = 0; i < 2; i++) {
      const answer = await rig.get(name);
      expect(answer.digest).toBe(old.digest);
      expect(answer.outcome).toMatchObject({ kind: 'hit', detail: 'stale' });
      expect(answer.outcome.ttlSeconds).toBeLessThan(0);
    }
    expect(rig.metadata.tags.of(rig.key(repo))).toEqual([tag('3.20')]);
  });
});

describe('401 and 403', () => {
  beforeEach(async () => {
    await rig.get(name);
    await rig.clock.advance(60_000);
    upstream.mood = 'denied';
    await expect(rig.get(name)).rejects.toMatchObject({ kind: 'denied' });
    upstream.takeCalls();
  });

  it('are followed and never remembered: the next client is asked for again', async () => {
    await expect(rig.get(name)).rejects.toMatchObject({ kind: 'denied' });
    expect(upstream.takeCalls()).toEqual([`HEAD ${name}`]);
    upstream.mood = undefined;
    expect((await rig.get(name)).digest).toBe(old.digest);
  });

  it('keep the binding, which one HEAD confirms', async () => {
    expect(rig.metadata.tags.get(rig.tagKey(name))).toMatchObject({ digest: old.digest, isDenied: true });
    upstream.mood = undefined;
    await rig.get(name);
    expect(upstream.takeCalls()).toEqual([`HEAD ${name}`]);
    expect(rig.metadata.tags.get(rig.tagKey(name))).toMatchObject({ isDenied: false });
  });

  it('stay so when tags are made to live longer', async () => {
    const policy = rig.policies.get('docker.io');
    if (policy !== undefined) rig.policies.set('docker.io', { ...policy, tagTtlMs: year });
    await expect(rig.get(name)).rejects.toMatchObject({ kind: 'denied' });
    expect(upstream.takeCalls()).toEqual([`HEAD ${name}`]);
  });

  it('stay the last known answer during an outage and offline', async () => {
    for (const mood of ['unreachable', 'offline'] as const) {
      upstream.mood = mood;
      await expect(rig.get(name)).rejects.toMatchObject({ name: 'CacheError', kind: 'denied' });
    }
  });
});

describe('two upstreams with the same repository and tag', () => {
  it('never mix', async () => {
    const other = new FakeUpstream('ghcr.io');
    other.push(repo, moved, '3.20');
    using both = new PolicyRig([upstream, other]);
    for (let i = 0; i < 3; i++) {
      expect((await both.get(name, { upstream: 'docker.io' })).digest).toBe(old.digest);
      expect((await both.head(name, { upstream: 'ghcr.io' })).digest).toBe(moved.digest);
      expect((await both.get(name, { upstream: 'ghcr.io' })).digest).toBe(moved.digest);
      await both.clock.advance(60_000);
    }
    expect([upstream.calls.length, other.calls.length]).toEqual([3, 4]);
  });

  it.each(['notFound', 'denied', 'serverError'] as const)(
    'do not stand in for each other when one says %s',
    async (mood) => {
      const other = new FakeUpstream('ghcr.io');
      other.push(repo, moved, '3.20');
      upstream.mood = mood;
      using both = new PolicyRig([upstream, other]);
      await expect(both.get(name, { upstream: 'docker.io' })).rejects.toMatchObject({ kind: mood });
      expect(other.calls).toEqual([]);
    },
  );
});
