import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { mediaTypes } from '../../../src/oci/media-type.ts';
import { Gate } from '../../support/gate.ts';
import { FakeUpstream, imageManifest } from '../support/fake-upstream.ts';
import { PolicyRig } from '../support/policy-rig.ts';

const repo = 'library/alpine';
const image = imageManifest('image');
const [a, b, c] = ['a', 'b', 'c'].map((mark, i) => ({
  mediaType: mediaTypes.ociManifest,
  digest: imageManifest(mark).digest,
  size: 7,
  artifactType: i === 1 ? 'sbom' : 'signature',
}));

let upstream: FakeUpstream;
let rig: PolicyRig;

beforeEach(() => {
  upstream = new FakeUpstream();
  upstream.push(repo, image, '3.20');
  upstream.repository(repo).referrers.set(image.digest, [[a, b], [c]]);
  rig = new PolicyRig([upstream]);
});
afterEach(() => {
  rig[Symbol.dispose]();
});

describe('referrers', () => {
  it('are fetched once, all pages of them, for every filter and every client', async () => {
    const gate = new Gate();
    upstream.gate = gate;
    const answers = [undefined, 'sbom', 'signature', 'other'].map((artifactType) =>
      rig.referrers(repo, image.digest, artifactType === undefined ? {} : { artifactType }),
    );
    await gate.arrived();
    gate.open();
    const lists = (await Promise.all(answers)).map(({ manifests }) => manifests);
    expect(lists).toEqual([[a, b, c], [b], [a, c], []]);
    expect(upstream.calls).toEqual([
      `REFERRERS ${repo}@${image.digest}`,
      `REFERRERS ${repo}@${image.digest} /v2/x/referrers/y?page=1`,
    ]);
  });

  it('say whether they were filtered', async () => {
    expect((await rig.referrers(repo, image.digest)).isFiltered).toBe(false);
    expect((await rig.referrers(repo, image.digest, { artifactType: 'none' })).isFiltered).toBe(true);
  });

  it('are given in pages by weir', async () => {
    const first = await rig.referrers(repo, image.digest, { n: 2 });
    expect(first).toMatchObject({ manifests: [a, b], next: { n: 2, last: b?.digest } });
    expect(await rig.referrers(repo, image.digest, { n: 2, last: first.next?.last ?? '' })).toMatchObject({
      manifests: [c],
      next: undefined,
    });
    expect(upstream.calls).toHaveLength(2);
  });

  it('are fresh for 30 s, then a new signature is seen', async () => {
    await rig.referrers(repo, image.digest);
    upstream.repository(repo).referrers.set(image.digest, [[c]]);
    await rig.clock.advance(29_999);
    expect(await rig.referrers(repo, image.digest)).toMatchObject({ manifests: [a, b, c], outcome: { kind: 'hit' } });
    await rig.clock.advance(1);
    expect(await rig.referrers(repo, image.digest)).toMatchObject({ manifests: [c], outcome: { kind: 'stale' } });
  });

  it('of a subject that nobody refers to, or that does not exist, are an empty list', async () => {
    const { digest } = imageManifest('unknown');
    expect(await rig.referrers(repo, digest)).toMatchObject({ manifests: [], next: undefined });
  });

  it('are listed once each', async () => {
    upstream.repository(repo).referrers.set(image.digest, [
      [a, a],
      [a, b],
    ]);
    expect((await rig.referrers(repo, image.digest)).manifests).toEqual([a, b]);
  });

  it('of made-up subjects leave nothing in the catalog; those of served ones do', async () => {
    const { digest } = imageManifest('unknown');
    await rig.referrers(repo, digest);
    await rig.get(`${repo}:3.20`);
    await rig.referrers(repo, image.digest);
    rig.restart();
    upstream.mood = 'unreachable';
    await rig.clock.advance(30_000);
    expect((await rig.referrers(repo, image.digest)).manifests).toEqual([a, b, c]);
    await expect(rig.referrers(repo, digest)).rejects.toMatchObject({ kind: 'unreachable' });
  });

  it('of which a page is missing are refused: that there is a second one was said', async () => {
    let pages = 0;
    const listReferrers = upstream.listReferrers.bind(upstream);
    upstream.listReferrers = (...query) => {
      upstream.hasReferrersApi = ++pages === 1;
      return listReferrers(...query);
    };
    await expect(rig.referrers(repo, image.digest)).rejects.toMatchObject({ kind: 'badResponse' });
    expect(rig.rejected).toEqual(['lost-page']);
    expect(pages).toBe(2);
  });

  it('whose pages go round in circles are refused', async () => {
    upstream.referrersLoop = '/v2/x/referrers/y?page=1';
    await expect(rig.referrers(repo, image.digest)).rejects.toMatchObject({ kind: 'badResponse' });
    expect(rig.rejected).toEqual(['page-loop']);
    expect(upstream.calls.length).toBeLessThan(5);
  });

  it('whose pages never end are refused', async () => {
    upstream.repository(repo).referrers.set(
      image.digest,
      Array.from({ length: 100 }, (_, i) => [{ ...a, digest: imageManifest(`p${i}`).digest }]),
    );
    await expect(rig.referrers(repo, image.digest)).rejects.toMatchObject({ kind: 'badResponse' });
    expect(rig.rejected).toEqual(['too-many-referrers']);
    expect(upstream.calls).toHaveLength(64);
  });

  it('that are no index are refused, and never taken for an empty list', async () => {
    for (const body of ['<html>', '{}', '{"errors":[]}', '[]']) {
      upstream.referrersBody = body;
      await expect(rig.referrers(repo, image.digest)).rejects.toMatchObject({ kind: 'badResponse' });
    }
    expect(rig.rejected).toEqual(['bad-referrers', 'bad-referrers', 'bad-referrers', 'bad-referrers']);
  });

  it('of an upstream without the API are unsupported, remembered for 30 s and for the subject', async () => {
    upstream.hasReferrersApi = false;
    await expect(rig.referrers(repo, image.digest)).rejects.toMatchObject({
      name: 'UpstreamError',
      kind: 'unsupported',
    });
    const refusal = { name: 'RememberedRefusal', kind: 'unsupported', status: 404, outcome: { detail: 'negative' } };
    await expect(rig.referrers(repo, image.digest)).rejects.toMatchObject(refusal);
    expect(upstream.takeCalls()).toHaveLength(1);
    await rig.clock.advance(30_000);
    upstream.hasReferrersApi = true;
    expect((await rig.referrers(repo, image.digest)).manifests).toEqual([a, b, c]);
  });

  it('of one subject are asked for whatever the upstream has said of another', async () => {
    upstream.hasReferrersApi = false;
    await expect(rig.referrers(repo, imageManifest('other').digest)).rejects.toMatchObject({ kind: 'unsupported' });
    upstream.hasReferrersApi = true;
    expect((await rig.referrers(repo, image.digest)).manifests).toEqual([a, b, c]);
  });

  it('of an upstream that has lost the API are not served from before', async () => {
    await rig.get(`${repo}:3.20`);
    await rig.referrers(repo, image.digest);
    await rig.clock.advance(30_000);
    upstream.hasReferrersApi = false;
    await expect(rig.referrers(repo, image.digest)).rejects.toMatchObject({ kind: 'unsupported' });
    await rig.clock.advance(30_000);
    upstream.mood = 'unreachable';
    await expect(rig.referrers(repo, image.digest)).rejects.toMatchObject({ kind: 'unsupported' });
  });

  it('of an upstream without the API stay unsupported in an outage and offline, so that the fallback tag is asked', async () => {
    upstream.hasReferrersApi = false;
    await rig.get(`${repo}:3.20`);
    await expect(rig.referrers(repo, image.digest)).rejects.toMatchObject({ kind: 'unsupported' });
    await rig.clock.advance(30_000);
    upstream.mood = 'unreachable';
    const stale = { name: 'RememberedRefusal', kind: 'unsupported', outcome: { kind: 'hit', detail: 'stale' } };
    await expect(rig.referrers(repo, image.digest)).rejects.toMatchObject(stale);
    rig.restart();
    await expect(rig.referrers(repo, image.digest)).rejects.toMatchObject(stale);
    // Of what was never asked for nothing is known.
    await expect(rig.referrers(repo, imageManifest('other').digest)).rejects.toMatchObject({ kind: 'unreachable' });
  });

  it('of two upstreams never mix', async () => {
    const other = new FakeUpstream('ghcr.io');
    other.push(repo, image, '3.20');
    using both = new PolicyRig([upstream, other]);
    expect((await both.referrers(repo, image.digest)).manifests).toHaveLength(3);
    expect((await both.referrers(repo, image.digest, { upstream: 'ghcr.io' })).manifests).toEqual([]);
  });
});
