import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { digestOf } from '../../../src/oci/digest.ts';
import { mediaTypes } from '../../../src/oci/media-type.ts';
import { UpstreamError } from '../../../src/upstream/contract/errors.ts';
import { StoreError } from '../../../src/store/contract/blob-store.ts';
import { Gate } from '../../support/gate.ts';
import { type FakeManifest, FakeUpstream, imageManifest } from '../support/fake-upstream.ts';
import { PolicyRig } from '../support/policy-rig.ts';

const repo = 'library/alpine';
const image = imageManifest('image');
const name = `${repo}@${image.digest}`;

let upstream: FakeUpstream;
let rig: PolicyRig;

beforeEach(() => {
  upstream = new FakeUpstream();
  upstream.push(repo, image);
  rig = new PolicyRig([upstream]);
});
afterEach(() => {
  rig[Symbol.dispose]();
});

function document(text: string, mediaType?: string): FakeManifest {
  const bytes = new TextEncoder().encode(text);
  return { digest: digestOf(bytes), bytes, mediaType };
}

describe('a manifest by digest', () => {
  it('costs one GET, ever', async () => {
    const first = await rig.get(name);
    expect(first).toMatchObject({ digest: image.digest, outcome: { kind: 'miss', isStored: true } });
    expect(Buffer.from(first.bytes ?? [])).toEqual(Buffer.from(image.bytes));
    upstream.repository(repo).manifests.clear();
    for (let i = 0; i < 3; i++) {
      await rig.clock.advance(365 * 86_400_000);
      rig.restart();
      const again = await rig.get(name);
      expect(again).toMatchObject({ digest: image.digest, mediaType: image.mediaType, outcome: { kind: 'hit' } });
      expect(Buffer.from(again.bytes ?? [])).toEqual(Buffer.from(image.bytes));
      expect(await rig.head(name)).toMatchObject({ sizeBytes: image.bytes.byteLength, bytes: undefined });
    }
    expect(upstream.calls).toEqual([`GET ${name}`]);
  });

  it('costs a hundred concurrent clients one GET, though the first of them leaves', async () => {
    const gate = new Gate();
    upstream.gate = gate;
    const first = new AbortController();
    const left = rig.get(name, { signal: first.signal });
    const others = Array.from({ length: 99 }, () => rig.get(name));
    await gate.arrived();
    first.abort(new Error('client left'));
    await expect(left).rejects.toThrow('client left');
    gate.open();
    const outcomes = (await Promise.all(others)).map(({ outcome }) => outcome);
    expect(outcomes.every(({ isCollapsed, isStored }) => isCollapsed === true && isStored === true)).toBe(true);
    expect(upstream.calls).toEqual([`GET ${name}`]);
  });

  it('is stored although everybody left', async () => {
    const gate = new Gate();
    upstream.gate = gate;
    const client = new AbortController();
    const left = rig.get(name, { signal: client.signal });
    await gate.arrived();
    client.abort(new Error('client left'));
    await expect(left).rejects.toThrow('client left');
    gate.open();
    await rig.clock.advance(0);
    expect(upstream.running).toBe(0);
    expect((await rig.get(name)).outcome.kind).toBe('hit');
  });

  it('costs HEAD no more than a HEAD', async () => {
    expect(await rig.head(name)).toMatchObject({ digest: image.digest, outcome: { kind: 'miss' } });
    expect(upstream.calls).toEqual([`HEAD ${name}`]);
  });

  it.each(['mediaType', 'sizeBytes'] as const)('is fetched for HEAD when HEAD lacks the %s', async (field) => {
    upstream.headLacks.add(field);
    expect(await rig.head(name)).toMatchObject({ mediaType: image.mediaType, sizeBytes: image.bytes.byteLength });
    expect(upstream.calls).toEqual([`HEAD ${name}`, `GET ${name}`]);
  });

  it('is verified with sha512 when that was asked for', async () => {
    const digest = digestOf(image.bytes, 'sha512');
    upstream.push(repo, { ...image, digest });
    expect((await rig.get(`${repo}@${digest}`)).digest).toBe(digest);
    expect([...rig.store.blobs.keys()]).toEqual([digest]);
  });

  it('with wrong bytes is 502 and leaves nothing behind; the next client is asked for again', async () => {
    upstream.wrongBytes = imageManifest('forged').bytes;
    await expect(rig.get(name)).rejects.toMatchObject({ name: 'CacheError', kind: 'mismatch' });
    expect(rig.rejected).toEqual(['digest-mismatch']);
    expect(rig.store.blobs.size).toBe(0);
    expect(rig.metadata.links.has(rig.key(repo), image.digest, 'manifest')).toBe(false);
    upstream.wrongBytes = undefined;
    expect((await rig.get(name)).digest).toBe(image.digest);
  });

  it.each([
    ['a blob that is no JSON', document('\u001f\u008b layer'), 'not-json'],
    ['a config', document('[1]'), 'not-an-object'],
    ['nested too deep', document(`{"a":${'['.repeat(40)}${']'.repeat(40)}}`), 'too-deep'],
    [
      'of two types',
      document(JSON.stringify({ mediaType: mediaTypes.ociIndex, manifests: [] }), mediaTypes.ociManifest),
      'media-type-conflict',
    ],
  ])('%s is refused although its digest is right', async (_what, manifest, reason) => {
    upstream.push(repo, manifest);
    await expect(rig.get(`${repo}@${manifest.digest}`)).rejects.toMatchObject({ kind: 'mismatch' });
    expect(rig.rejected).toEqual([reason]);
    expect(rig.store.blobs.size).toBe(0);
  });

  it('that is unknown is 404, remembered for five seconds', async () => {
    const { digest } = imageManifest('unknown');
    for (let i = 0; i < 3; i++) {
      await expect(rig.get(`${repo}@${digest}`)).rejects.toMatchObject({ kind: 'notFound' });
      await expect(rig.head(`${repo}@${digest}`)).rejects.toMatchObject({ kind: 'notFound' });
    }
    expect(upstream.takeCalls()).toHaveLength(1);
    await rig.clock.advance(5_000);
    upstream.push(repo, imageManifest('unknown'));
    expect((await rig.get(`${repo}@${digest}`)).digest).toBe(digest);
  });

  it.each(['denied', 'rateLimited', 'serverError', 'timeout'] as const)('is asked for again after %s', async (mood) => {
    upstream.mood = mood;
    for (let i = 0; i < 2; i++) await expect(rig.get(name)).rejects.toMatchObject({ kind: mood });
    expect(upstream.takeCalls()).toHaveLength(2);
    upstream.mood = undefined;
    await rig.get(name);
  });

  it('is proved again when the store is in doubt about it, and replaced when it is wrong', async () => {
    await rig.get(name);
    for (const isWrong of [false, true]) {
      rig.restart();
      upstream.takeCalls();
      rig.store.suspects.add(image.digest);
      if (isWrong) rig.store.blobs.set(image.digest, Buffer.alloc(image.bytes.byteLength));
      const head = await rig.head(name);
      expect(head.outcome.kind).toBe(isWrong ? 'miss' : 'hit');
      expect((await rig.get(name)).digest).toBe(image.digest);
      expect(rig.store.suspects.size).toBe(0);
      expect(upstream.takeCalls()).toHaveLength(isWrong ? 2 : 0);
    }
    expect(rig.store.quarantined.map(({ digest }) => digest)).toEqual([image.digest]);
    expect(rig.rejected).toEqual(['stored-mismatch']);
  });

  it('is given though the disk is too sick to be told that it is right', async () => {
    await rig.get(name);
    rig.restart();
    upstream.takeCalls();
    rig.store.suspects.add(image.digest);
    rig.store.prove = () => Promise.reject(new StoreError('sick', 'read-only file system'));
    expect((await rig.get(name)).outcome.kind).toBe('hit');
    expect(upstream.takeCalls()).toEqual([]);
  });

  it('deleted from the store by hand is a miss', async () => {
    await rig.get(name);
    rig.restart();
    rig.store.blobs.clear();
    expect((await rig.get(name)).outcome).toMatchObject({ kind: 'miss', isStored: true });
  });

  it('is served from memory only as long as its link holds', async () => {
    using open = new PolicyRig([upstream], { policy: { access: 'all' } });
    upstream.hasCredential = true;
    await open.get(name);
    open.metadata.forgetRepository(open.key(repo));
    upstream.mood = 'denied';
    await expect(open.get(name)).rejects.toMatchObject({ kind: 'denied' });
  });

  it('counts as used', async () => {
    await rig.get(name);
    await rig.clock.advance(1_000);
    for (const use of [() => rig.get(name), () => rig.head(name)]) {
      await rig.clock.advance(1_000);
      await use();
      expect(rig.metadata.blobs.get(image.digest)?.lastUsedMs).toBe(rig.clock.now());
    }
  });
});

describe('the media type', () => {
  it.each([
    ['the header, when it says something', mediaTypes.ociManifest, { config: {} }, mediaTypes.ociManifest],
    [
      'the header, also when nobody knows it',
      'application/vnd.example+json',
      { any: 1 },
      'application/vnd.example+json',
    ],
    ['the document, when the header is vague', 'text/plain', { mediaType: mediaTypes.ociIndex }, mediaTypes.ociIndex],
    ['the shape, when both are', undefined, { manifests: [] }, mediaTypes.ociIndex],
  ])('is that of %s', async (_what, header, content, expected) => {
    const manifest = document(JSON.stringify(content), header);
    upstream.push(repo, manifest, 'tag');
    expect((await rig.get(`${repo}:tag`)).mediaType).toBe(expected);
    rig.restart();
    expect((await rig.head(`${repo}@${manifest.digest}`)).mediaType).toBe(expected);
    expect((await rig.get(`${repo}@${manifest.digest}`)).mediaType).toBe(expected);
  });

  it('belongs to the repository that gave it: an odd word of another one changes nothing here', async () => {
    const other = new FakeUpstream('other');
    const bare = imageManifest('bare', undefined);
    upstream.push(repo, { ...bare, mediaType: mediaTypes.ociManifest });
    other.push(repo, { ...bare, mediaType: 'application/x-odd' }, 'x');
    using both = new PolicyRig([upstream, other]);
    await both.get(`${repo}@${bare.digest}`);
    for (let i = 0; i < 2; i++) {
      expect((await both.get(`${repo}:x`, { upstream: 'other' })).mediaType).toBe('application/x-odd');
      expect((await both.head(`${repo}:x`, { upstream: 'other' })).mediaType).toBe('application/x-odd');
      expect((await both.get(`${repo}@${bare.digest}`, { upstream: 'other' })).mediaType).toBe('application/x-odd');
      expect((await both.get(`${repo}@${bare.digest}`)).mediaType).toBe(mediaTypes.ociManifest);
      expect((await both.head(`${repo}@${bare.digest}`)).mediaType).toBe(mediaTypes.ociManifest);
      both.restart();
    }
  });
});

describe('an end', () => {
  it('of weir ends what runs, and says so', async () => {
    const gate = new Gate();
    upstream.gate = gate;
    const answers = [rig.get(name), rig.get(`${repo}:tag`)].map((answer) => answer.catch((error: unknown) => error));
    await gate.arrived(2);
    rig.manifests.close();
    gate.open();
    for (const error of await Promise.all(answers)) expect(error).toMatchObject({ kind: 'shuttingDown' });
  });

  it('of a client is not confused with it', async () => {
    const gate = new Gate();
    upstream.gate = gate;
    const client = new AbortController();
    const answer = rig.get(name, { signal: client.signal });
    await gate.arrived();
    client.abort(new UpstreamError('aborted', 'the client left', { upstream: 'docker.io' }));
    await expect(answer).rejects.toMatchObject({ kind: 'aborted' });
    gate.open();
  });
});

it('an upstream that is not configured is unknown', async () => {
  await expect(rig.get(name, { upstream: 'evil.example' })).rejects.toMatchObject({ kind: 'nameUnknown' });
});
