/** What asking for a link costs, and what a link is none for. */
import { afterEach, beforeEach, expect, it } from 'vitest';
import { buildImage } from '../../support/image-builder.ts';
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
