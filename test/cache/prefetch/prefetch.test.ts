import { describe, expect, it } from 'vitest';
import { formatCacheStatus } from '../../../src/headers/cache-status.ts';
import { type Digest, parseDigest } from '../../../src/oci/digest.ts';
import { mediaTypes } from '../../../src/oci/media-type.ts';
import { eventually } from '../../support/gate.ts';
import { buildArtifact, buildImage, buildIndex, type BuiltManifest } from '../../support/image-builder.ts';
import { answer, cut, hold } from '../../support/upstream/behaviour.ts';
import { PullRig } from '../support/pull-rig.ts';

const kib = 1024;
const image = buildImage({ seed: 'prefetch', layers: [100 * kib, 200 * kib, 300 * kib] });
const [config = '', first = '', second = '', third = ''] = image.blobs.map(({ digest }) => digest);

function push(rig: PullRig, ...images: readonly BuiltManifest[]): void {
  for (const each of images) rig.registry.content.add('org/app', each);
}

/** Everything that could have been begun has been. */
async function settled(rig: PullRig): Promise<void> {
  await rig.clock.advance(0);
  await eventually(() => rig.running.fillCount() === 0);
}

function digestOf(text: string): Digest {
  const digest = parseDigest(text);
  if (digest === undefined) throw new Error(`no digest: ${text}`);
  return digest;
}

describe('a store that keeps nothing', () => {
  it('is asked by clients alone, each of whom is told so, until it has kept something', async () => {
    await using rig = await PullRig.start();
    const images = ['sick', 'still sick', 'well', 'well again'].map((seed) =>
      buildImage({ seed, layers: [100 * kib, 9 * kib] }),
    );
    push(rig, ...images);
    const pull = async (index: number): Promise<readonly string[]> => {
      const pulled = images[index] ?? image;
      await rig.manifest(pulled);
      const before = rig.asked.length;
      const view = await rig.view(pulled.blobs[0]?.digest ?? '');
      view.close();
      await settled(rig);
      return [formatCacheStatus(view.outcome), `${rig.asked.length - before} asked`];
    };
    rig.store.failsAdopt = true;
    // The first one cannot know; what it brought ahead is the last that is brought for nothing.
    await pull(0);
    expect(await pull(1)).toEqual(['weir; fwd=miss', '1 asked']);
    rig.store.failsAdopt = false;
    expect(await pull(2)).toEqual(['weir; fwd=miss', '1 asked']);
    expect(await pull(3)).toEqual(['weir; fwd=miss; stored', '3 asked']);
  });
});

describe('a client that has read a manifest and asks for one of its blobs', () => {
  it('gets the others brought meanwhile, in their order, each by one request', async () => {
    await using rig = await PullRig.start();
    push(rig, image);
    await rig.manifest(image);
    expect((await rig.blob(config)).how).toBe('miss');
    await settled(rig);
    expect(rig.asked).toEqual([config, first, second, third]);
    for (const { digest, bytes } of image.blobs) {
      const got = await rig.blob(digest);
      expect([got.how, got.bytes.equals(bytes)]).toEqual(['hit', true]);
    }
    expect(rig.asked).toHaveLength(4);
    expect(rig.prefetches).toEqual(['stored', 'stored', 'stored']);
  });

  it('joins what is on its way', async () => {
    await using rig = await PullRig.start();
    push(rig, image);
    const gate = rig.registry.gate('second');
    rig.registry.on({ kind: 'blob', reference: second }, hold(1000, gate));
    await rig.manifest(image);
    await rig.blob(config);
    await gate.arrived();
    const reading = rig.blob(second);
    await eventually(() => rig.prefetches.includes('joined'));
    gate.open();
    expect((await reading).how).toBe('collapsed');
    await settled(rig);
    expect(rig.asked.filter((digest) => digest === second)).toHaveLength(1);
  });

  it('does so as well when the manifest, or that blob, was here already', async () => {
    await using rig = await PullRig.start();
    push(rig, image);
    await rig.manifest(image, { client: 'earlier' });
    await rig.blob(first, { client: 'another' });
    await settled(rig);
    expect(rig.asked).toEqual([first]);
    expect((await rig.manifest(image)).outcome.kind).toBe('hit');
    expect((await rig.blob(first)).how).toBe('hit');
    await settled(rig);
    expect(rig.asked).toEqual([first, config, second, third]);
  });

  it('does so when the manifest is given from a lease, so that nobody is told who reads it', async () => {
    await using rig = await PullRig.start();
    push(rig, image);
    await rig.manifest(image, { client: 'earlier' });
    await rig.lease(image);
    await rig.blob(config, { client: 'unseen' });
    await settled(rig);
    expect(rig.asked).toEqual([config, first, second, third]);
  });

  it('gets what it asks for before everything that nobody waits for', async () => {
    await using rig = await PullRig.start({ connections: 2 });
    push(rig, image);
    const gate = rig.registry.gate('held');
    rig.registry.on({ kind: 'blob' }, hold('before', gate));
    await rig.manifest(image);
    const clients = [rig.blob(config)];
    await gate.arrived(2);
    expect(rig.asked).toEqual([config, first]);
    // The other two wait for a connection; the one that is asked for now overtakes, and takes that of the first layer.
    clients.push(rig.blob(third));
    await gate.arrived(3);
    expect(rig.asked).toEqual([config, first, third]);
    gate.open();
    expect((await Promise.all(clients)).map(({ how }) => how)).toEqual(['miss', 'collapsed']);
    await settled(rig);
    expect(rig.asked).toEqual([config, first, third, second, first]);
    expect(rig.results).toEqual(['stored', 'stored', 'stored', 'stored']);
  });

  it('gets its blob although a transfer begun for nobody has just failed', async () => {
    await using rig = await PullRig.start();
    push(rig, image);
    const gate = rig.registry.gate('failing');
    rig.registry.on({ kind: 'blob', reference: first }, { times: 1 }, hold('before', gate), answer(429));
    await rig.manifest(image);
    await rig.blob(config);
    await gate.arrived();
    const reading = rig.blob(first);
    await eventually(() => rig.prefetches.includes('joined'));
    gate.open();
    expect((await reading).how).toBe('miss');
  });

  it('sets off one transfer for each blob, however many such clients there are', async () => {
    await using rig = await PullRig.start();
    push(rig, image);
    const clients = Array.from({ length: 20 }, async (_, index) => {
      const client = `client ${index}`;
      await rig.manifest(image, { client });
      for (const { digest } of image.blobs) await rig.blob(digest, { client });
    });
    await Promise.all(clients);
    await settled(rig);
    expect(rig.asked.toSorted()).toEqual([config, first, second, third].toSorted());
  });
});

describe('nothing is brought ahead', () => {
  it('for a manifest that is only read', async () => {
    await using rig = await PullRig.start();
    push(rig, image);
    await rig.manifest(image);
    await rig.manifest(image);
    await settled(rig);
    expect([rig.fills, rig.asked]).toEqual([0, []]);
  });

  it.each([
    ['for a HEAD of the manifest', { method: 'head' as const }, {}],
    ['for a HEAD of the blob', {}, { method: 'head' as const }],
    ['when another client asks for the blob', {}, { client: 'b' }],
  ])('%s', async (_, manifest, blob) => {
    await using rig = await PullRig.start();
    push(rig, image);
    await rig.manifest(image, manifest);
    (await rig.view(config, blob)).close();
    await settled(rig);
    expect(rig.fills).toBeLessThanOrEqual(1);
    expect(rig.asked.filter((digest) => digest !== config)).toEqual([]);
  });

  it('when the manifest was read too long ago', async () => {
    await using rig = await PullRig.start();
    push(rig, image);
    await rig.manifest(image);
    await rig.clock.advance(5 * 60_000);
    await rig.blob(config);
    await settled(rig);
    expect(rig.asked).toEqual([config]);
  });

  it('when it is switched off', async () => {
    await using rig = await PullRig.start({ prefetchBytes: 'off' });
    push(rig, image);
    await rig.manifest(image);
    await rig.blob(config);
    await settled(rig);
    expect(rig.asked).toEqual([config]);
  });

  it('of an index, of what has urls, of what is listed twice, and of what another manifest shares', async () => {
    await using rig = await PullRig.start();
    const foreign = { mediaType: 'application/vnd.example', digest: second, size: 200 * kib, urls: ['http://x/y'] };
    const layer = { mediaType: mediaTypes.ociLayerGzip, digest: first, size: 100 * kib };
    const document = {
      schemaVersion: 2,
      mediaType: mediaTypes.ociManifest,
      config: { mediaType: mediaTypes.ociConfig, digest: config, size: image.blobs[0]?.bytes.length },
      layers: [layer, foreign, layer],
    };
    const bytes = Buffer.from(JSON.stringify(document));
    push(rig, image, buildIndex([image]));
    const digest = digestOf(rig.registry.content.addManifest('org/app', bytes, mediaTypes.ociManifest));
    await rig.manifest(image);
    await rig.manifest(buildIndex([image]));
    await rig.manifest({ ...image, digest, bytes });
    await rig.blob(config);
    await settled(rig);
    expect(rig.asked).toEqual([config, first]);
  });

  it('beyond the limit for one manifest, by the sizes that it says', async () => {
    await using rig = await PullRig.start({ prefetchBytes: 310 * kib });
    push(rig, image);
    await rig.manifest(image);
    await rig.blob(config);
    await settled(rig);
    expect(rig.asked).toEqual([config, first, second]);
  });

  it('that is larger than its manifest says', async () => {
    await using rig = await PullRig.start();
    const layers = image.blobs.slice(1).map(({ digest, mediaType }) => ({ digest, mediaType, size: 7 }));
    const bytes = Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: mediaTypes.ociManifest,
        config: { mediaType: mediaTypes.ociConfig, digest: config, size: 3 },
        layers,
      }),
    );
    push(rig, image);
    const digest = digestOf(rig.registry.content.addManifest('org/app', bytes, mediaTypes.ociManifest));
    await rig.manifest({ ...image, digest, bytes });
    await rig.blob(config);
    await settled(rig);
    expect(rig.prefetches).toEqual(['dropped', 'dropped', 'dropped']);
    expect([...rig.store.blobs.keys()].filter((stored) => stored !== digest)).toEqual([config]);
    // Whoever asks for it gets it.
    expect((await rig.blob(first)).bytes.length).toBe(100 * kib);
  });
});

describe('what is brought ahead', () => {
  it('is an artifact too', async () => {
    await using rig = await PullRig.start();
    const artifact = buildArtifact({ files: [10, 20, 30] });
    push(rig, artifact);
    await rig.manifest(artifact);
    await rig.blob(artifact.blobs[1]?.digest ?? '');
    await settled(rig);
    expect(rig.asked).toHaveLength(4);
  });

  it('stops after 30 s without a reader, keeping what it has, and does not begin again by itself', async () => {
    await using rig = await PullRig.start();
    push(rig, image);
    const gate = rig.registry.gate('held');
    rig.registry.on({ kind: 'blob', reference: first }, { times: 1 }, hold(64 * kib, gate));
    rig.registry.on({ kind: 'blob', reference: second }, { times: 1 }, hold(64 * kib, gate));
    await rig.manifest(image);
    await rig.blob(config);
    await gate.arrived(2);
    const reading = rig.blob(second);
    await eventually(() => rig.prefetches.includes('joined'));
    await eventually(() => rig.results.length === 2);
    await rig.clock.advance(29_999);
    expect(rig.results).toEqual(['stored', 'stored']);
    await rig.clock.advance(1);
    await eventually(() => rig.results.length === 3);
    expect([rig.results[2], [...rig.store.kept.values()].map(({ key }) => key.digest)]).toEqual(['abandoned', [first]]);
    await rig.clock.advance(60_000);
    gate.open();
    expect((await reading).bytes.length).toBe(200 * kib);
    await settled(rig);
    expect(rig.asked.filter((digest) => digest === first)).toHaveLength(1);
    // The next one who asks continues it.
    expect((await rig.blob(first)).bytes.length).toBe(100 * kib);
    expect(rig.registry.matching({ reference: first }).at(-1)?.headers['range']).toBeDefined();
  });

  it('evicts nothing that was used since the manifest was read', async () => {
    const old = buildImage({ seed: 'old', layers: [500 * kib] });
    await using rig = await PullRig.start({ maxBytes: 3 * 1024 * kib });
    push(rig, image, old);
    const [, layer = ''] = old.blobs.map(({ digest }) => digest);
    await rig.blob(layer);
    await settled(rig);
    await rig.clock.advance(1000);
    await rig.manifest(image);
    await rig.clock.advance(1000);
    // In use again, and then there is no room for the largest layer.
    await rig.blob(layer);
    await rig.blob(config);
    await settled(rig);
    expect(rig.store.blobs.has(digestOf(layer))).toBe(true);
    expect(rig.results.filter((result) => result === 'bypassed')).toHaveLength(1);
    // A client that asks for it is worth it.
    expect((await rig.blob(third)).bytes.length).toBe(300 * kib);
    await settled(rig);
    expect(rig.store.blobs.has(digestOf(third))).toBe(true);
  });

  it('evicts what was used before that', async () => {
    const old = buildImage({ seed: 'old', layers: [500 * kib] });
    await using rig = await PullRig.start({ maxBytes: 3 * 1024 * kib });
    push(rig, image, old);
    const [, layer = ''] = old.blobs.map(({ digest }) => digest);
    await rig.blob(layer);
    await settled(rig);
    await rig.clock.advance(1000);
    await rig.manifest(image);
    await rig.blob(config);
    await settled(rig);
    expect(rig.store.blobs.has(digestOf(layer))).toBe(false);
    expect(rig.prefetches).toEqual(['stored', 'stored', 'stored']);
  });

  it('that fails is not remembered against anybody, and nothing more of its manifest is tried', async () => {
    await using rig = await PullRig.start({ connections: 2 });
    push(rig, image);
    rig.registry.on({ kind: 'blob', reference: first }, { times: 1 }, answer(404));
    await rig.manifest(image);
    await rig.blob(config);
    await settled(rig);
    expect(rig.prefetches).toContain('dropped');
    expect((await rig.blob(first)).how).toBe('miss');
  });

  it('leaves the upstream its breaker, whatever it answers', async () => {
    await using rig = await PullRig.start();
    push(rig, image);
    for (const digest of [first, second, third]) {
      rig.registry.on({ kind: 'blob', reference: digest }, { times: 1 }, cut('before', 'rst'));
    }
    await rig.manifest(image);
    await rig.blob(config);
    await settled(rig);
    expect(rig.prefetches).toEqual(['dropped', 'dropped', 'dropped']);
    for (const digest of [first, second, third]) expect((await rig.blob(digest)).how).toBe('miss');
  });

  it('runs sixteen at a time, or 32 MiB', async () => {
    await using rig = await PullRig.start({ connections: 64 });
    const many = buildImage({ seed: 'many', layers: Array<number>(40).fill(100) });
    push(rig, many);
    const gate = rig.registry.gate('held');
    rig.registry.on({ kind: 'blob' }, hold('before', gate));
    await rig.manifest(many);
    const [, ...layers] = many.blobs.map(({ digest }) => digest);
    const reading = rig.blob(many.blobs[0]?.digest ?? '');
    await gate.arrived(17);
    await rig.clock.advance(0);
    expect(rig.fills).toBe(17);
    // A client takes one of them over, and one more is begun for nobody.
    const joined = rig.blob(layers[0] ?? '');
    await gate.arrived(18);
    expect(rig.fills).toBe(18);
    gate.open();
    await Promise.all([reading, joined]);
    await settled(rig);
    expect(rig.asked).toHaveLength(41);
  });
});

describe('offline', () => {
  it('nothing is brought ahead', async () => {
    await using rig = await PullRig.start({ offline: true });
    push(rig, image);
    await expect(rig.manifest(image)).rejects.toMatchObject({ kind: 'offline' });
    await expect(rig.blob(config)).rejects.toMatchObject({ kind: 'offline' });
    await settled(rig);
    expect(rig.registry.requests).toEqual([]);
  });
});
