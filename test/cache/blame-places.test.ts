/** A place that a registry needs is away, its token server or its storage: what hangs on it fails, nothing else. On one clock. */
import { describe, expect, it } from 'vitest';
import { buildImage } from '../support/image-builder.ts';
import { countingLookup, deaths, MortalRegistry } from '../support/mortal-registry.ts';
import { refuse, TokenIssuer } from '../support/upstream/auth.ts';
import { redirect } from '../support/upstream/behaviour.ts';
import { BlameRig } from './support/blame-rig.ts';

const image = buildImage({ seed: 'image', layers: [100_000] });
const layer = image.blobs[1]?.digest ?? '';
const config = image.blobs[0]?.digest ?? '';

describe.each(deaths)('a token server that is away (%s)', (death) => {
  /** Repositories below `open/` need no token. */
  async function lab() {
    const issuer = new TokenIssuer({ expiresInSeconds: 3600 });
    const tokens = await MortalRegistry.start('tokens.test', { tokens: issuer });
    const registry = await MortalRegistry.start('registry.test');
    const auth = { kind: 'bearer', issuer, realm: `${tokens.url.origin}/token` } as const;
    registry.registry.on(
      { where: (request) => !request.repository.startsWith('open/') && refuse(auth, request, '') !== undefined },
      {
        status: 401,
        headers: { 'WWW-Authenticate': `Bearer realm="${auth.realm}",service="lab"` },
        body: '{"errors":[]}',
      },
    );
    const rig = await BlameRig.start({
      urls: [registry.url],
      registries: [registry.registry, tokens.registry],
      tagTtlMs: 1_000,
      upstream: { transport: countingLookup([registry, tokens]) },
    });
    for (let i = 0; i < 100; i++) registry.registry.content.add(`closed/r${i}`, image, 'v1');
    for (let i = 0; i < 30; i++) registry.registry.content.add(`open/r${i}`, image, 'v1');
    return {
      tokens,
      rig,
      async [Symbol.asyncDispose]() {
        await rig[Symbol.asyncDispose]();
        await tokens[Symbol.asyncDispose]();
        await registry[Symbol.asyncDispose]();
      },
    };
  }

  it('is asked by few; what needs no token is served, cached tags are stale, and the rest says why', async () => {
    await using at = await lab();
    const { rig, tokens } = at;
    const cached = { what: 'manifest', name: 'closed/r0:v1' } as const;
    expect((await rig.until(rig.ask(cached))).status).toBe(200);
    await rig.pass(2_000);
    await tokens.die(death);
    let dials = Infinity;
    const tags = rig.each(2_000, 30, () => rig.ask(cached));
    const closed = rig.each(500, 120, (i) => rig.ask({ what: 'manifest', name: `closed/r${(i % 98) + 1}:v1` }));
    const open = await rig.each(2_000, 30, (i) => {
      // By then it is known.
      if (i === 10) ({ dials } = tokens);
      return rig.pull([
        { what: 'manifest', name: `open/r${i}:v1`, client: '10.0.0.9' },
        { what: 'blob', name: `open/r${i}@${layer}`, client: '10.0.0.9' },
      ]);
    });
    expect(open.flat().map(({ status }) => status)).toEqual(Array(60).fill(200));
    expect(new Set((await rig.until(tags)).map(({ status }) => status))).toEqual(new Set([200]));
    const failed = await rig.until(closed);
    for (const { status, reason } of failed) expect([status, reason]).toEqual([status, expect.stringMatching(/token/)]);
    expect(failed.filter(({ status }) => status === 200)).toEqual([]);
    expect(tokens.dials - dials).toBeLessThanOrEqual(8);
    expect(rig.recorded.breaker).toEqual([]);
  });

  it('is asked again within 10 s after its return', async () => {
    await using at = await lab();
    const { rig, tokens } = at;
    await tokens.die(death);
    const during = await rig.each(1_000, 60, () => rig.ask({ what: 'manifest', name: 'closed/r1:v1' }));
    expect(during.filter(({ status }) => status === 200)).toEqual([]);
    await tokens.live();
    const backMs = rig.clock.monotonic();
    const after = await rig.each(1_000, 15, (i) => rig.ask({ what: 'manifest', name: `closed/r${i + 2}:v1` }));
    expect((after.find(({ status }) => status === 200)?.atMs ?? Infinity) - backMs).toBeLessThanOrEqual(10_000);
    expect(after.at(-1)?.status).toBe(200);
  });
});

describe.each(deaths)('storage that is away (%s)', (death) => {
  /** Layers lie in storage, all else in the registry. */
  async function lab() {
    const storage = await MortalRegistry.start('storage.test');
    const registry = await MortalRegistry.start('registry.test');
    const rig = await BlameRig.start({
      urls: [registry.url],
      registries: [registry.registry, storage.registry],
      tagTtlMs: 1_000,
      upstream: { transport: countingLookup([registry, storage]) },
    });
    const layers: string[] = [];
    for (let i = 0; i < 60; i++) {
      const built = buildImage({ seed: i, layers: [100_000 + i] });
      const digest = built.blobs[1]?.digest ?? '';
      layers.push(digest);
      registry.registry.content.add(`org/r${i}`, built, 'v1');
      registry.registry.content.addBlob(`org/r${i}`, image.blobs[0]?.bytes ?? '');
      storage.registry.content.add('cdn', built);
    }
    registry.registry.on(
      { kind: 'blob', where: ({ reference }) => layers.includes(reference) },
      redirect(({ reference }) => `${storage.url.origin}/cdn/${reference}`),
    );
    return {
      storage,
      rig,
      layers,
      async [Symbol.asyncDispose]() {
        await rig[Symbol.asyncDispose]();
        await storage[Symbol.asyncDispose]();
        await registry[Symbol.asyncDispose]();
      },
    };
  }

  it('is asked by few; manifests, lists and what the registry holds itself are served, and layers say why', async () => {
    await using at = await lab();
    const { rig, storage, layers } = at;
    expect((await rig.until(rig.ask({ what: 'blob', name: `org/r0@${layers[0] ?? ''}` }))).status).toBe(200);
    await storage.die(death);
    let dials = Infinity;
    const wanted = rig.each(1_000, 58, (i) =>
      rig.ask({ what: 'blob', name: `org/r${i + 1}@${layers[i + 1] ?? ''}`, patienceMs: 30_000 }),
    );
    const served = await rig.each(1_900, 30, (i) => {
      if (i === 11) ({ dials } = storage);
      return rig.pull([
        { what: 'manifest', name: `org/r${i}:v1`, client: '10.0.0.9' },
        { what: 'blob', name: `org/r${i}@${config}`, client: '10.0.0.9' },
        { what: 'tags', name: `org/r${i}`, client: '10.0.0.9' },
      ]);
    });
    expect(served.flat().map(({ status }) => status)).toEqual(Array(90).fill(200));
    const failed = await rig.until(wanted);
    expect(failed.filter(({ status }) => status === 200)).toEqual([]);
    const told = failed.filter(({ status }) => status !== 'left');
    expect(told.length).toBeGreaterThan(30);
    for (const { reason } of told) expect(reason).toMatch(/storage\.test/);
    expect(storage.dials - dials).toBeLessThanOrEqual(8);
    expect(rig.recorded.breaker).toEqual([]);
  });

  it('is asked again within 10 s after its return', async () => {
    await using at = await lab();
    const { rig, storage, layers } = at;
    await storage.die(death);
    const ask = (i: number) => rig.ask({ what: 'blob', name: `org/r${i}@${layers[i] ?? ''}`, patienceMs: 30_000 });
    const during = await rig.each(2_000, 30, ask);
    expect(during.filter(({ status }) => status === 200)).toEqual([]);
    await storage.live();
    const backMs = rig.clock.monotonic();
    const after = await rig.each(1_000, 15, (i) => ask(i + 30));
    expect((after.find(({ status }) => status === 200)?.atMs ?? Infinity) - backMs).toBeLessThanOrEqual(10_000);
    expect(after.at(-1)?.status).toBe(200);
  });
});
