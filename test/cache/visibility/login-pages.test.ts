/** What passes for a blob when nobody hashes it: a page that strangers are led to, of any type, with any length or none. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type BuiltManifest, buildImage } from '../../support/image-builder.ts';
import type { ScriptedUpstream } from '../../support/scripted-upstream.ts';
import { answer, framing } from '../../support/upstream/behaviour.ts';
import { RightsRig } from '../support/rights-rig.ts';

const image = buildImage({ seed: 'secret', layers: [100] });
const layer = image.blobs[1]?.digest ?? image.digest;

let rig: RightsRig;

beforeEach(async () => {
  rig = await RightsRig.start({ access: 'all', user: 'alice' });
  rig.private.u.push('r/secret');
});
afterEach(async () => {
  await rig[Symbol.asyncDispose]();
});

function push(upstream: ScriptedUpstream, path: string, manifest: BuiltManifest): void {
  for (const blob of manifest.blobs) upstream.content.addBlob(path, blob.bytes);
  upstream.content.addManifest(path, manifest.bytes, manifest.mediaType);
}

const text = answer(200, { headers: { 'Content-Type': 'text/plain' }, body: 'log in' });
const pages = {
  none: [text, framing('chunked')],
  0: [text, { declaredLength: 0 }],
  512: [text, { declaredLength: 512 }],
};

describe.each(Object.entries(pages))('a page whose length is said to be %s', (_length, page) => {
  const strangers = { beforeAuth: true } as const;

  it('publishes nothing that a credential has brought', async () => {
    push(rig.u, 'r/secret', image);
    expect((await rig.blob('u', 'r/secret', layer)).status).toBe('200');
    await rig.restart({ access: 'public' });
    rig.u.on({ kind: 'blob', method: 'HEAD' }, strangers, ...page);
    rig.u.on({ kind: 'blob', method: 'GET' }, strangers, text);
    expect((await rig.blob('u', 'r/secret', layer)).status).not.toBe('200');
    expect((await rig.blob('u', 'r/other', layer)).status).not.toBe('200');
    await rig.restart({ access: 'public', offline: true });
    expect((await rig.blob('u', 'r/secret', layer)).status).not.toBe('200');
  });

  it('is no word for what is brought later', async () => {
    push(rig.u, 'r/secret', image);
    rig.u.on({ kind: 'blob', method: 'HEAD', repository: 'r/other' }, strangers, ...page);
    await rig.blob('u', 'r/other', layer, 'head');
    expect((await rig.blob('u', 'r/secret', layer)).status).toBe('200');
    await rig.restart({ access: 'public', offline: true });
    expect((await rig.blob('u', 'r/other', layer)).status).not.toBe('200');
  });
});

it('a registry that never says how long a blob is has to send it', async () => {
  for (const path of ['r/secret', 'r/other']) push(rig.u, path, image);
  expect((await rig.blob('u', 'r/secret', layer)).status).toBe('200');
  rig.u.on({ kind: 'blob', method: 'HEAD' }, framing('chunked'));
  expect((await rig.blob('u', 'r/other', layer)).status).toBe('200');
  rig.takeAsked();
  expect((await rig.blob('u', 'r/other', layer)).status).toBe('200');
  expect(rig.takeAsked()).toEqual([]);
});
