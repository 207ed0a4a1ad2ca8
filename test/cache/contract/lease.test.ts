/** Leases: what may be given again from memory, for how long, and what ends it. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { LeasedAnswer } from '../../../src/cache/contract/cache.ts';
import { digestOf } from '../../../src/oci/digest.ts';
import { parseReference } from '../../../src/oci/reference.ts';
import { eventually } from '../../support/gate.ts';
import { BlobUpstream } from '../../fill/support/blob-upstream.ts';
import { content, Engine, repository } from '../../fill/support/engine.ts';
import { FakeUpstream, imageManifest } from '../support/fake-upstream.ts';
import { PolicyRig } from '../support/policy-rig.ts';

const repo = 'library/alpine';
const name = `${repo}:3.20`;
const image = imageManifest('image');
const moved = imageManifest('moved');
const minute = 60_000;

let upstream: FakeUpstream;
let rig: PolicyRig;

beforeEach(() => {
  upstream = new FakeUpstream();
  upstream.push(repo, image, '3.20');
  rig = new PolicyRig([upstream]);
});
afterEach(() => {
  rig[Symbol.dispose]();
});

async function peek(reference: string, method: 'get' | 'head' = 'get'): Promise<LeasedAnswer | undefined> {
  const parsed = parseReference(reference);
  if (parsed === undefined) throw new Error(`no reference: ${reference}`);
  const before = upstream.calls.length;
  const answer = await rig.manifests.peek({ ...rig.key(repo), reference: parsed, method });
  expect(upstream.calls.length, 'questions to the upstream').toBe(before);
  return answer;
}

function isCurrent(answer: LeasedAnswer | undefined): boolean {
  return answer !== undefined && rig.deps.changes.isCurrent(answer.stamp);
}

describe('a manifest', () => {
  it('is not leased before it was asked for, and nobody is asked for it', async () => {
    expect(await peek('3.20')).toBeUndefined();
    expect(await peek(image.digest)).toBeUndefined();
  });

  it('by tag is leased for as long as the tag is fresh, and at most for half a minute', async () => {
    await rig.get(name);
    const answer = await peek('3.20');
    expect(answer).toMatchObject({
      digest: image.digest,
      mediaType: image.mediaType,
      holdsMs: 30_000,
      freshMs: minute,
    });
    expect(Buffer.from(answer?.bytes ?? [])).toEqual(Buffer.from(image.bytes));
    await rig.clock.advance(50_000);
    expect(await peek('3.20', 'head')).toMatchObject({ bytes: undefined, holdsMs: 10_000, freshMs: 10_000 });
    await rig.clock.advance(10_000);
    expect(await peek('3.20')).toBeUndefined();
  });

  it('by digest is leased without an end to its freshness', async () => {
    await rig.get(name);
    await rig.clock.advance(10 * minute);
    expect(await peek(image.digest)).toMatchObject({ outcome: { kind: 'hit' }, holdsMs: 30_000, freshMs: undefined });
  });

  it('is not leased through a repository that has no link to it', async () => {
    upstream.push('other/repository', image, '3.20');
    await rig.get('other/repository:3.20');
    expect(await peek(image.digest)).toBeUndefined();
  });

  it('is not leased when stale, although it is served', async () => {
    await rig.get(name);
    await rig.clock.advance(2 * minute);
    upstream.mood = 'unreachable';
    expect((await rig.get(name)).outcome).toMatchObject({ kind: 'hit', detail: 'stale' });
    expect(await peek('3.20')).toBeUndefined();
  });
});

describe('the lease of a tag ends', () => {
  it.each([
    ['when it moves', (): unknown => upstream.push(repo, moved, '3.20')],
    [
      'when the upstream says that there is no such tag',
      (): void => void upstream.repository(repo).tags.delete('3.20'),
    ],
    ['when the upstream refuses it', (): void => void (upstream.mood = 'denied')],
  ])('%s, before anybody is told', async (_, change) => {
    await rig.get(name);
    const answer = await peek('3.20');
    expect(isCurrent(answer)).toBe(true);
    await rig.clock.advance(minute);
    change();
    await rig.get(name).catch(() => undefined);
    expect(isCurrent(answer)).toBe(false);
  });
});

describe('behind a credential', () => {
  const signed = imageManifest('signed');

  beforeEach(() => {
    upstream.hasCredential = true;
  });

  it('what strangers get is leased, and what came by a credential only while its link counts', async () => {
    await rig.get(name);
    expect(await peek(image.digest)).toMatchObject({ holdsMs: 30_000 });
    const ours = { origin: { kind: 'credential', place: upstream.place } } as const;
    await rig.store.put(signed.digest, signed.bytes);
    rig.metadata.manifests.record({ digest: signed.digest, mediaType: 'a/b', sizeBytes: signed.bytes.byteLength });
    rig.metadata.links.add(rig.key(repo), signed.digest, 'manifest', ours);
    expect(await peek(signed.digest)).toBeUndefined();
  });
});

describe('a blob', () => {
  const small = content(60_000);
  const key = { upstream: 'up', repository: repository('a/b'), digest: digestOf(small) };

  it('is leased with its bytes if it is small, for a moment without them, and no longer once it is evicted', async () => {
    const blobs = new BlobUpstream(small);
    const next = new BlobUpstream(content(5_200_000), { key: 'next' });
    await using engine = new Engine([blobs, next], { maxBytes: 7 * 1024 * 1024 });
    const query = { ...key, upstream: blobs.key, digest: blobs.digest };
    expect(await engine.blobs.peek({ ...query, method: 'get' })).toBeUndefined();
    await engine.get(blobs);
    await eventually(() => engine.fills.size === 0);
    const answer = await engine.blobs.peek({ ...query, method: 'get' });
    expect(answer).toMatchObject({ sizeBytes: 60_000, holdsMs: 30_000, freshMs: undefined });
    expect(Buffer.from(answer?.bytes ?? [])).toEqual(small);
    const head = await engine.blobs.peek({ ...query, method: 'head' });
    expect(head).toMatchObject({ bytes: undefined, holdsMs: 1_000 });
    expect(await engine.blobs.peek({ ...query, method: 'head', repository: repository('c/d') })).toBeUndefined();
    await engine.get(next);
    await eventually(() => engine.fills.size === 0);
    expect(engine.counts.evicted).toBe(1);
    expect(engine.changes.isCurrent(answer?.stamp ?? [])).toBe(false);
    expect(await engine.blobs.peek({ ...query, method: 'head' })).toBeUndefined();
  });

  it('that is large is leased for HEAD only, and bytes that went bad are not given from memory', async () => {
    const large = new BlobUpstream(content(140_000));
    await using engine = new Engine([large]);
    await engine.get(large);
    await eventually(() => engine.fills.size === 0);
    const query = { upstream: large.key, repository: repository('a/b'), digest: large.digest };
    expect(await engine.blobs.peek({ ...query, method: 'get' })).toBeUndefined();
    expect(await engine.blobs.peek({ ...query, method: 'head' })).toMatchObject({ sizeBytes: 140_000 });
  });
});
