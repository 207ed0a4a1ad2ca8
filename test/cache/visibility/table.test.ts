/** The table of docs/security.md, "Rights", row by row: what is asked of the upstream, and what an outage leaves. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type BuiltManifest, buildImage, buildIndex } from '../../support/image-builder.ts';
import type { ScriptedUpstream } from '../../support/scripted-upstream.ts';
import { answer } from '../../support/upstream/behaviour.ts';
import { type Name, RightsRig, type Settings } from '../support/rights-rig.ts';

const image = buildImage({ seed: 'rights', layers: [100] });
const other = buildImage({ seed: 'other', layers: [100] });
const index = buildIndex([image, other]);
const layer = image.blobs[1]?.digest ?? image.digest;
const member: Settings = { access: 'all', user: 'alice' };

let rig: RightsRig;

beforeEach(async () => {
  rig = await RightsRig.start();
});
afterEach(async () => {
  await rig[Symbol.asyncDispose]();
});

function push(upstream: ScriptedUpstream, path: string, manifest: BuiltManifest, tag?: string): void {
  for (const child of manifest.children) push(upstream, path, child);
  for (const blob of manifest.blobs) upstream.content.addBlob(path, blob.bytes);
  upstream.content.addManifest(path, manifest.bytes, manifest.mediaType);
  if (tag !== undefined) upstream.content.tag(path, tag, manifest.digest);
}

async function pull(name: Name, path: string, manifest: BuiltManifest): Promise<void> {
  expect((await rig.manifest(name, path, manifest.digest)).status).toBe('200');
  for (const blob of manifest.blobs) expect((await rig.blob(name, path, blob.digest)).status).toBe('200');
  rig.takeAsked();
}

/** Nobody answers, with the same settings, or weir is told to ask nobody. */
async function outages(check: (label: 'outage' | 'offline') => Promise<void>): Promise<void> {
  const { settings } = rig;
  await rig.restart({ ...settings, offline: true });
  await check('offline');
  await rig.restart(settings);
  await Promise.all([rig.u.stop(), rig.v.stop()]);
  await check('outage');
}

const served = { status: '200' };
const error = { status: expect.stringMatching(/offline|unreachable|breakerOpen/) };

describe('a manifest', () => {
  it('that was pulled through the repository needs no question', async () => {
    push(rig.u, 'r/a', index, '1');
    expect(await rig.manifest('u', 'r/a', '1')).toMatchObject(served);
    await pull('u', 'r/a', image);
    expect(await rig.manifest('u', 'r/a', '1')).toMatchObject({ ...served, how: 'hit' });
    expect(await rig.manifest('u', 'r/a', image.digest)).toMatchObject({ ...served, how: 'hit' });
    expect(rig.takeAsked()).toEqual([]);
    await outages(async () => {
      expect(await rig.manifest('u', 'r/a', '1')).toMatchObject(served);
      expect(await rig.manifest('u', 'r/a', image.digest)).toMatchObject(served);
    });
  });

  it('that is another child of an index, and not here, is fetched and linked', async () => {
    push(rig.u, 'r/a', index, '1');
    await pull('u', 'r/a', index);
    await outages(async () => expect(await rig.manifest('u', 'r/a', other.digest)).toMatchObject(error));
    await Promise.all([rig.u.listen(), rig.v.listen()]);
    await rig.restart();
    expect(await rig.manifest('u', 'r/a', other.digest)).toMatchObject({ ...served, how: 'miss' });
    expect(rig.link('u', 'r/a', other.digest, 'manifest')).toBe('anonymous');
  });

  it('that is here through another repository of the same upstream costs one HEAD, then nothing', async () => {
    for (const path of ['r/a', 's/a']) push(rig.u, path, image);
    await pull('u', 's/a', image);
    await outages(async () => expect(await rig.manifest('u', 'r/a', image.digest)).toMatchObject(error));
    await Promise.all([rig.u.listen(), rig.v.listen()]);
    await rig.restart();
    rig.takeAsked();
    for (let i = 0; i < 2; i++) expect(await rig.manifest('u', 'r/a', image.digest)).toMatchObject(served);
    expect(rig.takeAsked()).toEqual([`HEAD u/r/a/manifests/${image.digest}`]);
  });

  it('that the asked repository does not have is 404, wherever else it is', async () => {
    push(rig.u, 's/a', image);
    await pull('u', 's/a', image);
    expect(await rig.manifest('u', 'r/a', image.digest)).toEqual({ status: 'notFound' });
    expect(await rig.manifest('v', 's/a', image.digest)).toEqual({ status: 'notFound' });
  });

  it('that is public at another upstream costs one HEAD at the asked one', async () => {
    push(rig.u, 's/a', image);
    push(rig.v, 'r/a', image);
    await pull('u', 's/a', image);
    for (let i = 0; i < 2; i++) expect(await rig.manifest('v', 'r/a', image.digest)).toMatchObject(served);
    expect(rig.takeAsked()).toEqual([`HEAD v/r/a/manifests/${image.digest}`]);
    await outages(async () => expect(await rig.manifest('v', 'other/a', image.digest)).toMatchObject(error));
  });

  it('that came by a credential at another upstream has to be sent by the asked one', async () => {
    rig.private.u.push('s/a');
    await rig.restart(member);
    push(rig.u, 's/a', image);
    push(rig.v, 'r/a', image);
    await pull('u', 's/a', image);
    rig.takeAsked();
    expect(await rig.manifest('v', 'r/a', image.digest)).toMatchObject(served);
    expect(rig.takeAsked()).toEqual([`GET v/r/a/manifests/${image.digest}`]);
  });

  it('that was only named by the HEAD of a tag, and is here through another repository, needs no further question', async () => {
    for (const path of ['r/a', 's/a']) push(rig.u, path, image, '1');
    expect(await rig.manifest('u', 'r/a', '1', 'head')).toMatchObject(served);
    await pull('u', 's/a', image);
    expect(await rig.manifest('u', 'r/a', image.digest)).toMatchObject({ ...served, how: 'hit' });
    expect(rig.takeAsked()).toEqual([]);
    await outages(async () => expect(await rig.manifest('u', 'r/a', image.digest)).toMatchObject(served));
  });
});

describe('a blob', () => {
  it.each(['u', 'v'] as const)(
    'that a manifest linked here names, public through %s, needs no question',
    async (from) => {
      push(rig.u, 'r/a', image);
      push(rig[from], 's/a', image);
      await pull(from, 's/a', image);
      expect(await rig.manifest('u', 'r/a', image.digest)).toMatchObject(served);
      rig.takeAsked();
      expect(await rig.blob('u', 'r/a', layer)).toMatchObject({ ...served, how: 'hit' });
      expect(rig.takeAsked()).toEqual([]);
      expect(rig.link('u', 'r/a', layer, 'blob')).toBe('anonymous');
      const config = image.blobs[0]?.digest ?? '';
      await outages(async () => expect(await rig.blob('u', 'r/a', config)).toMatchObject(served));
    },
  );

  it('that came by a credential through another repository costs one HEAD there', async () => {
    rig.private.u.push('s/a', 'r/a');
    await rig.restart(member);
    for (const path of ['r/a', 's/a']) push(rig.u, path, image);
    await pull('u', 's/a', image);
    expect(await rig.manifest('u', 'r/a', image.digest)).toMatchObject(served);
    rig.takeAsked();
    for (let i = 0; i < 2; i++) expect(await rig.blob('u', 'r/a', layer)).toMatchObject({ ...served, how: 'hit' });
    expect(rig.takeAsked()).toEqual([`HEAD u/r/a/blobs/${layer}`]);
    const config = image.blobs[0]?.digest ?? '';
    await outages(async () => expect(await rig.blob('u', 'r/a', config)).toMatchObject(error));
  });

  it('that came by a credential at another upstream costs a transfer, and what it brings is dropped', async () => {
    rig.private.u.push('s/a');
    await rig.restart(member);
    push(rig.u, 's/a', image);
    push(rig.v, 'r/a', image);
    await pull('u', 's/a', image);
    expect(await rig.manifest('v', 'r/a', image.digest)).toMatchObject(served);
    rig.takeAsked();
    expect(await rig.blob('v', 'r/a', layer, 'head')).toMatchObject({ ...served, how: 'miss' });
    expect(rig.link('v', 'r/a', layer, 'blob')).toBeUndefined();
    rig.takeAsked();
    expect(await rig.blob('v', 'r/a', layer)).toMatchObject({ ...served, how: 'miss' });
    expect(rig.takeAsked()).toEqual([`GET v/r/a/blobs/${layer}`]);
    expect(await rig.blob('v', 'r/a', layer)).toMatchObject({ ...served, how: 'hit' });
  });

  it('of another upstream is not had for a bare 200 to HEAD', async () => {
    rig.private.u.push('s/a');
    await rig.restart(member);
    push(rig.u, 's/a', image);
    await pull('u', 's/a', image);
    rig.v.always = answer(200, { headers: { 'Docker-Content-Digest': layer }, body: 'whatever is asked for' });
    expect((await rig.blob('v', 'evil/a', layer)).status).not.toBe('200');
    expect((await rig.manifest('v', 'evil/a', image.digest)).status).not.toBe('200');
    expect(rig.link('v', 'evil/a', layer, 'blob')).toBeUndefined();
  });

  it('that no manifest linked here names costs one HEAD', async () => {
    for (const path of ['r/a', 's/a']) push(rig.u, path, image);
    await pull('u', 's/a', image);
    await outages(async () => expect(await rig.blob('u', 'r/a', layer)).toMatchObject(error));
    await Promise.all([rig.u.listen(), rig.v.listen()]);
    await rig.restart();
    rig.takeAsked();
    for (let i = 0; i < 2; i++) expect(await rig.blob('u', 'r/a', layer)).toMatchObject(served);
    expect(rig.takeAsked()).toEqual([`HEAD u/r/a/blobs/${layer}`]);
  });

  it('is not had by publishing a manifest that names it', async () => {
    rig.private.u.push('s/a');
    await rig.restart(member);
    push(rig.u, 's/a', image);
    await pull('u', 's/a', image);
    rig.u.content.addManifest('evil/a', image.bytes, image.mediaType);
    expect(await rig.manifest('u', 'evil/a', image.digest)).toMatchObject(served);
    expect(await rig.blob('u', 'evil/a', layer)).toEqual({ status: 'notFound' });
  });
});

describe('what came by a credential', () => {
  beforeEach(async () => {
    rig.private.u.push('s/a');
    await rig.restart(member);
    push(rig.u, 's/a', image, '1');
    expect(await rig.manifest('u', 's/a', '1')).toMatchObject(served);
    await pull('u', 's/a', image);
  });

  it('counts under `all`, in outages with whatever credential or none', async () => {
    for (const settings of [member, { access: 'all' as const }]) {
      await rig.restart({ ...settings, offline: true });
      expect(await rig.manifest('u', 's/a', '1')).toMatchObject(served);
      expect(await rig.blob('u', 's/a', layer)).toMatchObject(served);
    }
    await rig.restart({ access: 'all' });
    await rig.u.stop();
    expect(await rig.manifest('u', 's/a', image.digest)).toMatchObject(served);
    expect(await rig.blob('u', 's/a', layer)).toMatchObject(served);
    expect(await rig.manifest('u', 's/a', '1')).toMatchObject(served);
  });

  it('needs one question under `all` when its place is gone or another', async () => {
    await rig.restart({ access: 'all', user: 'bob' });
    rig.takeAsked();
    for (let i = 0; i < 2; i++) expect(await rig.blob('u', 's/a', layer)).toMatchObject({ ...served, how: 'hit' });
    expect(rig.takeAsked()).toEqual([`HEAD u/s/a/blobs/${layer}`]);
    await rig.restart({ access: 'all' });
    expect(await rig.blob('u', 's/a', layer)).toEqual({ status: 'denied' });
    expect(await rig.manifest('u', 's/a', '1')).toEqual({ status: 'denied' });
    expect(await rig.manifest('u', 's/a', image.digest)).toEqual({ status: 'denied' });
  });

  it.each([undefined, 'alice'])(
    'is refused under `public`, in outages and offline too (credential: %s)',
    async (user) => {
      const settings: Settings = { access: 'public', ...(user !== undefined && { user }) };
      await rig.restart(settings);
      const all = async (): Promise<readonly string[]> => [
        (await rig.manifest('u', 's/a', '1')).status,
        (await rig.manifest('u', 's/a', image.digest)).status,
        (await rig.manifest('u', 's/a', image.digest, 'head')).status,
        (await rig.blob('u', 's/a', layer)).status,
        (await rig.blob('u', 's/a', layer, 'head')).status,
      ];
      expect(new Set(await all())).toEqual(new Set(['denied']));
      expect(await rig.listed()).toEqual([]);
      await outages(async () => expect(new Set(await all())).toEqual(new Set(['denied'])));
    },
  );

  it('is anybody’s after one anonymous word, for ever', async () => {
    await rig.restart({ access: 'public', user: 'alice' });
    rig.private.u.length = 0;
    expect(await rig.manifest('u', 's/a', '1')).toMatchObject(served);
    expect(await rig.blob('u', 's/a', layer)).toMatchObject(served);
    expect(rig.link('u', 's/a', image.digest, 'manifest')).toBe('anonymous');
    expect(await rig.listed()).toEqual(['u/s/a']);
    await outages(async () => {
      expect(await rig.manifest('u', 's/a', '1')).toMatchObject(served);
      expect(await rig.blob('u', 's/a', layer)).toMatchObject(served);
    });
  });
});
