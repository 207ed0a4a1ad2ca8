/**
 * Upstreams without the referrers API: the upstream's 404 reaches the client with the code that makes clients look at the
 * fallback tag, and that tag passes as it is. oras-go 2.7.0 (registry/remote/repository.go) falls back on any 404 but
 * NAME_UNKNOWN; go-containerregistry 0.22.1 (pkg/v1/remote/referrers.go), and cosign with it, on 400, 404 and 406;
 * regclient 0.11.7 (scheme/reg/referrer.go) on everything but 200.
 */
import { describe, expect, it } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { buildArtifact, buildIndex } from '../support/image-builder.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { answer, html } from '../support/upstream/behaviour.ts';
import { addSigned, indexType, lists, questions, repository, tags, tagStem } from './support/signed.ts';
import { errorOf, WeirUnderTest } from './support/weir.ts';

const freshMs = 30_000;
const [list] = lists;
const fallback = tags.at(-1);
if (list === undefined || fallback === undefined) throw new Error('no questions');

describe('an upstream without the referrers API', () => {
  it('is 404 UNSUPPORTED, and its fallback tag is given byte for byte, with the type and digest of an index', async () => {
    await using weir = await WeirUnderTest.start({ hasReferrersApi: false });
    const signed = addSigned(weir.upstream, 'v1');
    const refused = await weir.ask(list.path(signed.image));
    expect([refused.status, errorOf(refused).code]).toEqual([404, 'UNSUPPORTED']);
    for (const method of ['HEAD', 'GET']) {
      const index = await weir.ask(fallback.path(signed.image), { method });
      expect([index.status, index.headers['content-type']]).toEqual([200, indexType]);
      expect(index.headers['docker-content-digest']).toBe(signed.fallback.digest);
      expect(index.headers['content-length']).toBe(String(signed.fallback.bytes.length));
      if (method === 'GET') expect(index.body.equals(signed.fallback.bytes)).toBe(true);
    }
  });

  it.each([
    ['404 of its own', answer(404)],
    ['404 of a page', html(404)],
    ['404 UNSUPPORTED', answer(404, { body: '{"errors":[{"code":"UNSUPPORTED"}]}' })],
    ['404 MANIFEST_UNKNOWN', answer(404, { body: '{"errors":[{"code":"MANIFEST_UNKNOWN"}]}' })],
    ['405', answer(405)],
    ['501', answer(501)],
    ['400 UNSUPPORTED', answer(400, { body: '{"errors":[{"code":"UNSUPPORTED"}]}' })],
  ])('that says so with %s is the same to clients', async (_, behaviour) => {
    await using weir = await WeirUnderTest.start();
    const signed = addSigned(weir.upstream, 'v1');
    weir.upstream.on({ kind: 'referrers' }, behaviour);
    const refused = await weir.ask(list.path(signed.image));
    expect([refused.status, errorOf(refused).code]).toEqual([404, 'UNSUPPORTED']);
    // Not a word of the API's absence about the tag.
    expect(fallback.held(await weir.ask(fallback.path(signed.image)), signed)).toEqual(fallback.all(signed));
  });

  it('says nothing of other subjects: each is asked for', async () => {
    await using weir = await WeirUnderTest.start();
    const [first, other] = [addSigned(weir.upstream, 'v1'), addSigned(weir.upstream, 'v2')];
    weir.upstream.on({ kind: 'referrers', reference: first.image.digest }, answer(404));
    expect((await weir.ask(list.path(first.image))).status).toBe(404);
    expect(list.held(await weir.ask(list.path(other.image)), other)).toEqual(list.all(other));
    expect((await weir.ask(list.path(first.image))).headers['cache-status']).toBe('weir; hit; detail=negative');
    expect(weir.upstream.count({ kind: 'referrers' })).toBe(2);
  });

  it('still has none in an outage and offline, so that clients find the tag that is kept', async () => {
    const clock = new FakeClock();
    await using weir = await WeirUnderTest.start({ clock, hasReferrersApi: false });
    const [signed, other] = [addSigned(weir.upstream, 'v1'), addSigned(weir.upstream, 'v2')];
    for (const { image } of [signed, other]) await weir.ask(`${repository}/manifests/${image.digest}`);
    for (const question of [list, fallback]) await weir.ask(question.path(signed.image));
    await weir.ask(list.path(other.image));
    await clock.advance(freshMs);
    await weir.upstream.stop();
    const ask = async (detail: string): Promise<void> => {
      const refused = await weir.ask(list.path(signed.image));
      expect([refused.status, errorOf(refused).code]).toEqual([404, 'UNSUPPORTED']);
      expect(refused.headers['cache-status']).toMatch(new RegExp(`^weir; hit; ttl=-[0-9]+; detail=${detail}$`));
      expect(fallback.held(await weir.ask(fallback.path(signed.image)), signed)).toEqual(fallback.all(signed));
      // The tag itself is never said to be absent for that.
      expect((await weir.ask(list.path(other.image))).status).toBe(404);
      expect((await weir.ask(fallback.path(other.image))).status).toBeGreaterThanOrEqual(502);
    };
    await ask('stale');
    await weir.restart({ offline: true });
    await ask('offline');
  });

  it('that gets the API is seen to have it within 30 s, and one that loses it to have lost it', async () => {
    const clock = new FakeClock();
    await using weir = await WeirUnderTest.start({ clock, hasReferrersApi: false });
    const signed = addSigned(weir.upstream, 'v1');
    for (const [hasApi, status] of [
      [false, 404],
      [true, 200],
      [false, 404],
    ] as const) {
      weir.upstream.hasReferrersApi = hasApi;
      await clock.advance(freshMs);
      expect((await weir.ask(list.path(signed.image))).status).toBe(status);
    }
  });
});

describe('an image without signatures', () => {
  it('has an empty list where the upstream has the API, and 404 for each of its tags', async () => {
    await using weir = await WeirUnderTest.start();
    const { image } = addSigned(weir.upstream, 'v1');
    const lonely = { ...image, digest: digestOf('unsigned') };
    const empty = await weir.ask(list.path(lonely));
    expect([empty.status, empty.headers['content-type']]).toEqual([200, indexType]);
    expect(JSON.parse(empty.body.toString())).toMatchObject({ manifests: [] });
    for (const tag of tags) {
      const absent = await weir.ask(tag.path(lonely));
      expect([absent.status, errorOf(absent).code]).toEqual([404, 'MANIFEST_UNKNOWN']);
    }
  });

  it('gets one, and it is seen within 30 s in the list and within 5 s at a tag that was missing', async () => {
    const clock = new FakeClock();
    await using weir = await WeirUnderTest.start({ clock });
    const { image } = addSigned(weir.upstream, 'v1');
    const child = buildIndex([image]);
    weir.upstream.content.add(repository, child, 'child');
    const sigPath = `${repository}/manifests/${tagStem(child.digest)}.sig`;
    expect((await weir.ask(sigPath)).status).toBe(404);
    expect((await weir.ask(`${repository}/referrers/${child.digest}`)).body.toString()).toContain('"manifests":[]');
    const signature = buildArtifact({ seed: 'late', subject: child });
    weir.upstream.content.add(repository, signature, `${tagStem(child.digest)}.sig`);
    await clock.advance(5_000);
    expect((await weir.ask(sigPath)).sha256).toBe(signature.digest);
    await clock.advance(25_000);
    expect((await weir.ask(`${repository}/referrers/${child.digest}`)).body.toString()).toContain(signature.digest);
  });
});

describe.each(questions)('$name', (question) => {
  it('fresh for 30 s whatever tags.ttl says, then a new signature is seen', async () => {
    const clock = new FakeClock();
    await using weir = await WeirUnderTest.start({ clock, tagTtlMs: 86_400_000 });
    const signed = addSigned(weir.upstream, 'v1');
    await weir.ask(question.path(signed.image));
    const newer = question.sign(weir.upstream, signed);
    await clock.advance(freshMs - 1);
    weir.upstream.forgetRequests();
    expect(question.held(await weir.ask(question.path(signed.image)), signed)).toEqual(question.all(signed));
    expect(weir.upstream.requests).toEqual([]);
    await clock.advance(1);
    expect(question.held(await weir.ask(question.path(signed.image)), signed)).toEqual(newer);
  });

  it('taken away at the upstream is gone when its time is up', async () => {
    const clock = new FakeClock();
    await using weir = await WeirUnderTest.start({ clock });
    const signed = addSigned(weir.upstream, 'v1');
    await weir.ask(question.path(signed.image));
    weir.upstream.content.removeRepository(repository);
    await clock.advance(freshMs);
    expect((await weir.ask(question.path(signed.image))).status).toBe(404);
  });

  it('served offline after a restart, however old, and says so; what is not cached is 503', async () => {
    const clock = new FakeClock();
    await using weir = await WeirUnderTest.start({ clock, staleIfErrorMs: 0 });
    const signed = addSigned(weir.upstream, 'v1');
    const other = addSigned(weir.upstream, 'v2');
    // As a client that verifies: what is signed first.
    await weir.ask(`${repository}/manifests/${signed.image.digest}`);
    await weir.ask(question.path(signed.image));
    await weir.restart({ offline: true });
    await clock.advance(365 * 86_400_000);
    weir.upstream.forgetRequests();
    const kept = await weir.ask(question.path(signed.image));
    expect(question.held(kept, signed)).toEqual(question.all(signed));
    expect(kept.headers['cache-status']).toMatch(/^weir; hit; ttl=-[0-9]+; detail=offline$/);
    const unknown = await weir.ask(question.path(other.image));
    expect([unknown.status, errorOf(unknown).code]).toEqual([503, 'UNAVAILABLE']);
    expect(weir.upstream.requests).toEqual([]);
  });
});
