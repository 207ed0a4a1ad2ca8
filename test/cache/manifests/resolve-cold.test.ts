import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Gate } from '../../support/gate.ts';
import { FakeUpstream, imageManifest } from '../support/fake-upstream.ts';
import { PolicyRig } from '../support/policy-rig.ts';

const name = 'library/alpine:3.20';
const repo = 'library/alpine';
const image = imageManifest('one');
const byDigest = `${repo}@${image.digest}`;

let upstream: FakeUpstream;
let rig: PolicyRig;

/** A private upstream's: the tag was asked by HEAD, and its manifest has come by way of another repository. */
async function heardOf(): Promise<PolicyRig> {
  upstream.hasCredential = true;
  upstream.push('library/other', image, 'x');
  const all = new PolicyRig([upstream], { policy: { access: 'all' } });
  await all.head(name);
  await all.get('library/other:x');
  return all;
}

beforeEach(() => {
  upstream = new FakeUpstream();
  upstream.push(repo, image, '3.20');
  rig = new PolicyRig([upstream]);
});
afterEach(() => {
  rig[Symbol.dispose]();
});

describe('a tag that nobody has asked for before', () => {
  it('costs GET one GET, and is stored, linked and bound', async () => {
    const answer = await rig.get(name);
    expect(answer).toMatchObject({ digest: image.digest, outcome: { kind: 'miss', isStored: true, ttlSeconds: 60 } });
    expect(upstream.calls).toEqual([`GET ${name}`]);
    expect([...rig.store.blobs.keys()]).toEqual([image.digest]);
    expect(rig.metadata.manifests.get(image.digest)).toMatchObject({ mediaType: image.mediaType });
    expect(rig.metadata.links.has(rig.key(repo), image.digest, 'manifest')).toBe(true);
    expect(rig.metadata.tags.get(rig.tagKey(name))).toMatchObject({ digest: image.digest, isDenied: false });
  });

  it('costs HEAD one HEAD, and the GETs by tag or digest that follow one GET', async () => {
    const head = await rig.head(name);
    expect(head).toMatchObject({ digest: image.digest, mediaType: image.mediaType, bytes: undefined });
    expect(head).toMatchObject({ sizeBytes: image.bytes.byteLength, outcome: { kind: 'miss' } });
    expect((await rig.head(name)).outcome).toMatchObject({ kind: 'hit', ttlSeconds: 60 });
    await rig.get(byDigest);
    await rig.get(name);
    expect(upstream.calls).toEqual([`HEAD ${name}`, `GET ${byDigest}`]);
  });

  it('is remembered from a HEAD alone for further HEADs, also during an outage, but not for a GET', async () => {
    await rig.head(name);
    await rig.clock.advance(120_000);
    upstream.mood = 'unreachable';
    const stale = rig.head(name);
    await rig.clock.advance(2_000);
    expect(await stale).toMatchObject({
      digest: image.digest,
      outcome: { kind: 'hit', detail: 'stale', ttlSeconds: -60 },
    });
    await expect(rig.get(name)).rejects.toMatchObject({ kind: 'unreachable' });
    // Until the upstream has said otherwise.
    upstream.mood = undefined;
    upstream.repository(repo).tags.clear();
    await rig.clock.advance(5_000);
    await expect(rig.head(name)).rejects.toMatchObject({ kind: 'notFound' });
    upstream.mood = 'unreachable';
    await rig.clock.advance(5_000);
    // Its last word.
    await expect(rig.head(name)).rejects.toMatchObject({ kind: 'notFound', outcome: { detail: 'stale' } });
  });

  it('is in the catalog only when its manifest is', async () => {
    await rig.head(name);
    expect(rig.metadata.tags.get(rig.tagKey(name))).toBeUndefined();
    await rig.get(byDigest);
    expect(rig.metadata.tags.get(rig.tagKey(name))).toMatchObject({ digest: image.digest });
  });

  it('is fresh from the HEAD on, not from the GET by digest that bound it', async () => {
    await rig.head(name);
    await rig.clock.advance(50_000);
    await rig.get(byDigest);
    await rig.clock.advance(10_000);
    upstream.takeCalls();
    await rig.get(name);
    expect(upstream.takeCalls()).toEqual([`HEAD ${name}`]);
  });

  it('is not bound by the same digest in another repository or upstream', async () => {
    const other = new FakeUpstream('ghcr.io');
    other.push(repo, image, 'x');
    upstream.push('library/other', image, 'x');
    using both = new PolicyRig([upstream, other]);
    await both.head(name);
    await both.get('library/other:x');
    await both.get(`${repo}:x`, { upstream: 'ghcr.io' });
    expect(both.metadata.tags.get(both.tagKey(name))).toBeUndefined();
  });

  it('is bound and linked by a GET that finds the manifest here by way of another repository, for every outage', async () => {
    using all = await heardOf();
    expect((await all.get(name)).digest).toBe(image.digest);
    upstream.mood = 'unreachable';
    all.restart();
    expect((await all.get(name)).digest).toBe(image.digest);
    expect((await all.get(byDigest)).digest).toBe(image.digest);
  });

  it('is bound by a GET by digest that a public repository allows, for every outage', async () => {
    upstream.push('library/other', image, 'x');
    await rig.head(name);
    await rig.get('library/other:x');
    expect((await rig.get(byDigest)).outcome.kind).toBe('hit');
    upstream.mood = 'unreachable';
    rig.restart();
    expect((await rig.get(name)).digest).toBe(image.digest);
  });

  it('is linked when a HEAD confirms it and the manifest has come by way of another repository', async () => {
    using all = await heardOf();
    await all.clock.advance(60_000);
    await all.get(name);
    upstream.mood = 'unreachable';
    expect((await all.get(byDigest)).digest).toBe(image.digest);
  });

  it('is served by a registry that knows tags only, HEAD first or not', async () => {
    upstream.refusesDigests = true;
    await rig.head(name);
    expect((await rig.get(name)).digest).toBe(image.digest);
    expect((await rig.get(name)).outcome.kind).toBe('hit');
    expect(upstream.calls).toEqual([`HEAD ${name}`, `GET ${byDigest}`, `HEAD ${name}`, `GET ${name}`]);
  });

  it.each(['digest', 'mediaType', 'sizeBytes'] as const)(
    'is fetched for HEAD when HEAD lacks the %s',
    async (field) => {
      upstream.headLacks.add(field);
      const answer = await rig.head(name);
      expect(answer).toMatchObject({ digest: image.digest, mediaType: image.mediaType, bytes: undefined });
      expect(upstream.calls).toHaveLength(2);
      expect(rig.metadata.tags.get(rig.tagKey(name))?.digest).toBe(image.digest);
    },
  );

  it('is fetched for HEAD when the type is one that servers send when they know none', async () => {
    const vague = imageManifest('vague', 'text/plain');
    const bare = { ...vague, bytes: imageManifest('vague', undefined).bytes };
    const { digest } = imageManifest('vague', undefined);
    upstream.push(repo, { ...bare, digest }, 'vague');
    const answer = await rig.head(`${repo}:vague`);
    expect(answer).toMatchObject({ digest, mediaType: 'application/vnd.oci.image.manifest.v1+json' });
  });

  it('costs any number of concurrent clients one GET, which the first of them cannot take away', async () => {
    const gate = new Gate();
    upstream.gate = gate;
    const first = new AbortController();
    const left = rig.get(name, { signal: first.signal });
    const others = Array.from({ length: 50 }, () => rig.get(name));
    await gate.arrived();
    first.abort(new Error('client left'));
    await expect(left).rejects.toThrow('client left');
    gate.open();
    const digests = new Set((await Promise.all(others)).map(({ digest }) => digest));
    expect([...digests]).toEqual([image.digest]);
    expect(upstream.calls).toEqual([`GET ${name}`]);
  });

  it('fails for all who wait, is not stored, and is asked for again by the next, when an outage is all there is', async () => {
    const gate = new Gate();
    upstream.gate = gate;
    upstream.mood = 'serverError';
    const answers = Array.from({ length: 10 }, () => rig.get(name).catch((error: unknown) => error));
    await gate.arrived();
    gate.open();
    for (const error of await Promise.all(answers)) expect(error).toMatchObject({ kind: 'serverError' });
    expect(upstream.takeCalls()).toHaveLength(1);
    upstream.mood = undefined;
    expect((await rig.get(name)).digest).toBe(image.digest);
  });

  it('is refused with 502 when the bytes are not the announced digest', async () => {
    upstream.wrongBytes = imageManifest('forged').bytes;
    await expect(rig.get(name)).rejects.toMatchObject({ name: 'CacheError', kind: 'mismatch' });
    expect(rig.rejected).toEqual(['digest-mismatch']);
    expect(rig.store.blobs.size).toBe(0);
    expect(rig.metadata.tags.get(rig.tagKey(name))).toBeUndefined();
    upstream.wrongBytes = undefined;
    expect((await rig.get(name)).digest).toBe(image.digest);
  });

  it('gets the sha256 of its bytes where the upstream announces none', async () => {
    upstream.headLacks.add('digest');
    expect((await rig.get(name)).digest).toBe(image.digest);
  });
});

describe('a store that takes nothing', () => {
  it('costs no pull: the answer passes by, is hot, and is bound in memory only', async () => {
    rig.store.isFull = true;
    const answer = await rig.get(name);
    expect(answer).toMatchObject({ digest: image.digest, outcome: { kind: 'bypass' } });
    expect(answer.outcome.isStored).toBeUndefined();
    expect((await rig.get(name)).outcome.kind).toBe('hit');
    expect((await rig.get(byDigest)).outcome.kind).toBe('hit');
    expect(upstream.calls).toEqual([`GET ${name}`]);
    expect(rig.metadata.tags.get(rig.tagKey(name))).toBeUndefined();
    expect(rig.store.blobs.size).toBe(0);
  });

  it('does not take away what the tag was before it filled up, in an outage', async () => {
    using cold = new PolicyRig([upstream], { hotManifestBytes: 1 });
    await cold.get(name);
    const moved = upstream.push(repo, imageManifest('moved'), '3.20');
    await cold.clock.advance(60_000);
    cold.store.isFull = true;
    expect((await cold.get(name)).digest).toBe(moved.digest);
    upstream.mood = 'unreachable';
    expect(await cold.get(name)).toMatchObject({ digest: image.digest, outcome: { kind: 'hit', detail: 'stale' } });
  });

  it('costs no pull when it is dead altogether', async () => {
    rig.store.isDead = true;
    expect((await rig.get(name)).digest).toBe(image.digest);
    rig.restart();
    expect((await rig.get(byDigest)).digest).toBe(image.digest);
  });

  it('is used again as soon as it works', async () => {
    rig.store.isFull = true;
    await rig.get(name);
    rig.restart();
    rig.store.isFull = false;
    expect((await rig.get(name)).outcome).toMatchObject({ kind: 'miss', isStored: true });
    expect(rig.metadata.tags.get(rig.tagKey(name))?.digest).toBe(image.digest);
  });

  it('is not even tried when there is no room to be made', async () => {
    let isReleased = false;
    const space = { reserve: () => ({ cover: () => false, release: () => void (isReleased = true) }) };
    const { Manifests } = await import('../../../src/cache/manifests/manifests.ts');
    rig.manifests.close();
    rig.manifests = new Manifests({ ...rig.deps, space });
    expect((await rig.get(name)).outcome.kind).toBe('bypass');
    expect([rig.store.puts, isReleased]).toEqual([0, true]);
  });
});
