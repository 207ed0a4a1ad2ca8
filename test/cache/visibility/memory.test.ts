/** What is remembered of a word to a credential counts no longer than the credential: then somebody has to be asked. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { buildImage } from '../../support/image-builder.ts';
import { RightsRig } from '../support/rights-rig.ts';

const image = buildImage({ seed: 'remembered', layers: [100] });
const path = 'r/a';
const byDigest = `HEAD u/${path}/manifests/${image.digest}`;
const byTag = `HEAD u/${path}/manifests/1`;

let rig: RightsRig;

beforeEach(async () => {
  rig = await RightsRig.start({ access: 'all', user: 'alice' });
  rig.u.content.addManifest(path, image.bytes, image.mediaType);
  rig.u.content.tag(path, '1', image.digest);
  rig.private.u.push(path);
});
afterEach(async () => {
  await rig[Symbol.asyncDispose]();
});

describe.each([
  ['a digest', image.digest, byDigest],
  ['a tag', '1', byTag],
])('a HEAD of %s that was answered to a credential', (_, text, question) => {
  beforeEach(async () => {
    expect((await rig.manifest('u', path, text, 'head')).status).toBe('200');
    expect(rig.takeAsked()).toEqual([question]);
  });

  it('is remembered while that is configured', async () => {
    expect((await rig.manifest('u', path, text, 'head')).status).toBe('200');
    expect(rig.takeAsked()).toEqual([]);
  });

  it('is asked again when that has gone', async () => {
    rig.become(undefined);
    expect((await rig.manifest('u', path, text, 'head')).status).toBe('denied');
  });

  it('is asked again when it is another, and remembered for that one', async () => {
    rig.become('bob');
    for (const asked of [[question], []]) {
      expect((await rig.manifest('u', path, text, 'head')).status).toBe('200');
      expect(rig.takeAsked()).toEqual(asked);
    }
  });

  it('counts in an outage whoever is configured', async () => {
    rig.become(undefined);
    await rig.u.stop();
    expect((await rig.manifest('u', path, text, 'head')).status).toBe('200');
  });
});
