/** What asking for a link costs, and what a link is none for. */
import { afterEach, beforeEach, expect, it } from 'vitest';
import { buildImage } from '../../support/image-builder.ts';
import { headers } from '../../support/upstream/behaviour.ts';
import { FakeUpstream, imageManifest } from '../support/fake-upstream.ts';
import { PolicyRig } from '../support/policy-rig.ts';
import { RightsRig } from '../support/rights-rig.ts';

const image = buildImage({ seed: 'links', layers: [100] });
const layer = image.blobs[1]?.digest ?? image.digest;

let rig: RightsRig;

beforeEach(async () => {
  rig = await RightsRig.start();
  for (const path of ['r/a', 's/a']) {
    for (const blob of image.blobs) rig.u.content.addBlob(path, blob.bytes);
    rig.u.content.addManifest(path, image.bytes, image.mediaType);
    rig.u.content.tag(path, '1', image.digest);
  }
  expect((await rig.manifest('u', 's/a', image.digest)).status).toBe('200');
  expect((await rig.blob('u', 's/a', layer)).status).toBe('200');
  rig.takeAsked();
});
afterEach(async () => {
  await rig[Symbol.asyncDispose]();
});

it('any number of clients ask for a link once', async () => {
  const all = Array.from({ length: 20 }, () => rig.manifest('u', 'r/a', image.digest));
  expect(new Set((await Promise.all(all)).map(({ status }) => status))).toEqual(new Set(['200']));
  expect(rig.takeAsked()).toEqual([`HEAD u/r/a/manifests/${image.digest}`]);
});

it('a link to a blob is none to a manifest, and the other way round', async () => {
  expect((await rig.manifest('u', 's/a', layer)).status).toBe('notFound');
  expect((await rig.blob('u', 's/a', image.digest)).status).toBe('notFound');
});

it('a private repository answers the same for what is here and for what is not, by tag and by digest', async () => {
  rig.private.u.push('r/a');
  const other = buildImage({ seed: 'not here', layers: [10] });
  for (const text of ['1', 'made-up', image.digest, other.digest])
    expect((await rig.manifest('u', 'r/a', text)).status).toBe('denied');
  for (const digest of [layer, other.digest]) expect((await rig.blob('u', 'r/a', digest)).status).toBe('denied');
  // And takes nothing from others.
  expect((await rig.manifest('u', 's/a', image.digest)).status).toBe('200');
});

it('a HEAD that names another digest is no word: the bytes have to prove themselves', async () => {
  const other = buildImage({ seed: 'another', layers: [10] });
  rig.u.on({ kind: 'manifest', repository: 'r/a' }, headers({ 'Docker-Content-Digest': other.digest }));
  expect((await rig.manifest('u', 'r/a', image.digest, 'head')).status).toBe('200');
  expect(rig.takeAsked()).toContain(`GET u/r/a/manifests/${image.digest}`);
  expect(rig.link('u', 'r/a', image.digest, 'manifest')).toBe('anonymous');
  expect(rig.link('u', 'r/a', other.digest, 'manifest')).toBeUndefined();
});

it('a made-up tag or digest denies nothing to anybody else', async () => {
  expect((await rig.manifest('u', 'r/a', '1')).status).toBe('200');
  rig.private.u.push('r/a');
  for (const text of ['made-up', buildImage({ seed: 'made up' }).digest])
    expect((await rig.manifest('u', 'r/a', text)).status).not.toBe('200');
  rig.takeAsked();
  for (const text of ['1', image.digest]) expect((await rig.manifest('u', 'r/a', text)).status).toBe('200');
  expect(rig.takeAsked()).toEqual([]);
});

it('the links of an upstream that is not configured count for nothing, until it is again', async () => {
  const upstream = new FakeUpstream('lab');
  const manifest = upstream.push('team/app', imageManifest('image'), '1');
  using policies = new PolicyRig([upstream]);
  const key = policies.key('team/app');
  await policies.get('team/app:1');
  const [configured] = [...policies.policies];
  expect(policies.rights.isLinked(key, manifest.digest, 'manifest')).toBe(true);
  policies.policies.clear();
  expect(policies.rights.isLinked(key, manifest.digest, 'manifest')).toBe(false);
  await expect(policies.get('team/app:1')).rejects.toMatchObject({ kind: 'nameUnknown' });
  if (configured !== undefined) policies.policies.set(...configured);
  upstream.mood = 'unreachable';
  expect((await policies.get(`team/app@${manifest.digest}`)).digest).toBe(manifest.digest);
});

it('a 404 to the question for a link is remembered for 5 s, any other failure is not', async () => {
  const upstream = new FakeUpstream('lab');
  const manifest = upstream.push('team/app', imageManifest('image'), '1');
  using policies = new PolicyRig([upstream], { policy: { access: 'all' } });
  await policies.get('team/app:1');
  const ask = (): Promise<unknown> => policies.get(`other/app@${manifest.digest}`);
  upstream.takeCalls();
  for (let i = 0; i < 3; i++) await expect(ask()).rejects.toMatchObject({ kind: 'notFound' });
  expect(upstream.takeCalls()).toEqual([`HEAD other/app@${manifest.digest}`]);
  await policies.clock.advance(5_000);
  await expect(ask()).rejects.toMatchObject({ kind: 'notFound' });
  expect(upstream.takeCalls()).toHaveLength(1);
  await policies.clock.advance(5_000);
  upstream.mood = 'serverError';
  for (let i = 0; i < 3; i++) await expect(ask()).rejects.toMatchObject({ kind: 'serverError' });
  expect(upstream.takeCalls()).toHaveLength(3);
});
