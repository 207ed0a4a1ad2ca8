/** A token server that refuses is answered with its refusal while it does, and takes nothing from what was proved before. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { buildImage } from '../../support/image-builder.ts';
import { answer } from '../../support/upstream/behaviour.ts';
import { RightsRig } from '../support/rights-rig.ts';

const image = buildImage({ seed: 'tokens', layers: [100] });
const path = 'r/a';

let rig: RightsRig;

beforeEach(async () => {
  rig = await RightsRig.start();
  rig.u.content.addManifest(path, image.bytes, image.mediaType);
  rig.u.content.tag(path, '1', image.digest);
  expect((await rig.manifest('u', path, '1')).status).toBe('200');
  await rig.clock.advance(61_000);
  rig.takeAsked();
});
afterEach(async () => {
  await rig[Symbol.asyncDispose]();
});

function revoke(): void {
  if (rig.u.auth?.kind === 'bearer') rig.u.auth.issuer.revokeAll();
}

describe('a token server’s 403', () => {
  beforeEach(async () => {
    revoke();
    rig.u.on({ kind: 'token' }, answer(403));
    expect((await rig.manifest('u', path, '1')).status).toBe('denied');
    rig.u.clearRules();
  });

  it('is asked about anew by the next question', async () => {
    expect((await rig.manifest('u', path, '1')).status).toBe('200');
  });

  it('does not outlive it: what follows is an outage', async () => {
    rig.u.on({ kind: 'token' }, answer(200, { body: 'no token' }));
    expect((await rig.manifest('u', path, '1')).status).toBe('200');
    await rig.u.stop();
    await rig.clock.advance(61_000);
    expect((await rig.manifest('u', path, '1')).status).toBe('200');
    expect((await rig.manifest('u', path, image.digest)).status).toBe('200');
  });
});

it('the registry’s own 403 stays: it is its last word', async () => {
  rig.u.on({ kind: 'manifest' }, answer(403));
  expect((await rig.manifest('u', path, '1')).status).toBe('denied');
  await rig.u.stop();
  await rig.clock.advance(61_000);
  expect((await rig.manifest('u', path, '1')).status).toBe('denied');
});

it('a token whose life is shorter than it says costs one new one', async () => {
  revoke();
  expect((await rig.manifest('u', path, '1')).status).toBe('200');
  expect(rig.takeAsked()).toEqual([`HEAD u/${path}/manifests/1`]);
});
