/** An upstream that is away: refused, blackholed or silent. What is asked of it, and what its clients get. On one clock. */
import { describe, expect, it } from 'vitest';
import { buildImage } from '../support/image-builder.ts';
import { countingLookup, deaths, MortalRegistry } from '../support/mortal-registry.ts';
import { BlameRig, type BlameRigOptions, type Got } from './support/blame-rig.ts';

const image = buildImage({ seed: 'cached', layers: [2_000] });
const tag = { what: 'manifest', name: 'org/app:v1' } as const;
const otherTag = { what: 'manifest', name: 'org/app:v2' } as const;

async function rigOf(registries: readonly MortalRegistry[], options: BlameRigOptions = {}): Promise<BlameRig> {
  for (const { registry } of registries) registry.content.add('org/app', image, 'v1', 'v2');
  return BlameRig.start({
    urls: registries.map(({ url }) => url),
    registries: registries.map(({ registry }) => registry),
    tagTtlMs: 1_000,
    upstream: { transport: countingLookup(registries) },
    ...options,
  });
}

/** All of an image pulled while all was well, and its tags not fresh any more. */
async function warm(rig: BlameRig): Promise<void> {
  for (const name of ['org/app:v1', 'org/app:v2']) await rig.until(rig.ask({ what: 'manifest', name }));
  for (const { digest } of image.blobs) await rig.until(rig.ask({ what: 'blob', name: `org/app@${digest}` }));
  await rig.pass(2_000);
}

/** So many questions of something new each second. */
async function misses(rig: BlameRig, perSecond: number, seconds: number): Promise<readonly Got[]> {
  const stepMs = Math.max(100, 1_000 / perSecond);
  const perStep = (perSecond * stepMs) / 1_000;
  const all: Promise<Got>[] = [];
  for (let step = 0; step < (seconds * 1_000) / stepMs; step++) {
    for (let i = 0; i < perStep; i++) {
      all.push(rig.ask({ what: 'manifest', name: `cold/r${step}-${i}:v1`, client: `10.0.${i % 4}.1` }));
    }
    await rig.pass(stepMs, stepMs);
  }
  return rig.until(Promise.all(all));
}

describe.each(deaths)('an upstream that is away (%s)', (death) => {
  it('from the start is dialled 12 times at most in a minute of 1,000 misses a second, and each is told soon', async () => {
    await using mortal = await MortalRegistry.start();
    await using rig = await rigOf([mortal]);
    await mortal.die(death);
    const got = await misses(rig, 1_000, 60);
    expect(got).toHaveLength(60_000);
    expect(new Set(got.map(({ status }) => status))).toSatisfy((all: Set<unknown>) => !all.has(200));
    expect(mortal.dials).toBeGreaterThan(3);
    expect(mortal.dials).toBeLessThanOrEqual(12);
    const lateMs = death === 'refused' ? 1_000 : 10_000;
    expect(Math.max(...got.slice(20_000).map(({ seconds }) => seconds * 1_000))).toBeLessThanOrEqual(lateMs);
  }, 120_000);

  it('in mid-life is dialled 12 times at most in such a minute from when it is known, and its tags are stale', async () => {
    await using mortal = await MortalRegistry.start();
    await using rig = await rigOf([mortal]);
    await warm(rig);
    await mortal.die(death);
    await misses(rig, 2, 20);
    expect(rig.recorded.breaker).toEqual([true]);
    const dials = mortal.dials;
    const polled = rig.each(1_000, 60, () => rig.ask(tag));
    const got = await misses(rig, 200, 60);
    expect(new Set(got.map(({ status }) => status))).toEqual(new Set(['breakerOpen']));
    expect(got.every(({ retryAfterMs = 0 }) => retryAfterMs > 0)).toBe(true);
    expect(mortal.dials - dials).toBeLessThanOrEqual(12);
    expect((await rig.until(polled)).map(({ status, how }) => [status, how])).toEqual(Array(60).fill([200, 'stale']));
  }, 120_000);

  it('costs a cached tag 2 s once, and nothing after that, and cached digests nothing at all', async () => {
    await using mortal = await MortalRegistry.start();
    await using rig = await rigOf([mortal]);
    await warm(rig);
    await mortal.die(death);
    const first = await rig.until(rig.ask(tag), 10_000, 50);
    expect([first.status, first.how]).toEqual([200, 'stale']);
    expect(first.seconds).toBeLessThanOrEqual(2);
    for (let i = 0; i < 150; i++) {
      for (const asked of [tag, { ...tag, what: 'head' } as const, otherTag]) {
        const { status, how, seconds } = await rig.until(rig.ask(asked), 10_000, 50);
        expect([status, how, seconds]).toEqual([200, 'stale', 0]);
      }
      await rig.pass(1_000);
    }
    const dials = mortal.dials;
    for (const { digest } of [image, ...image.blobs]) {
      const what = digest === image.digest ? 'manifest' : 'blob';
      expect(await rig.until(rig.ask({ what, name: `org/app@${digest}` }))).toMatchObject({ how: 'hit', seconds: 0 });
    }
    expect(mortal.dials).toBe(dials);
  });

  it('for ten minutes and then back gives the first pull within 10 s', async () => {
    await using mortal = await MortalRegistry.start();
    await using rig = await rigOf([mortal]);
    await warm(rig);
    mortal.registry.content.add('org/new', image, 'v1');
    await mortal.die(death);
    const during = await rig.each(5_000, 120, () => rig.ask({ what: 'manifest', name: 'org/new:v1' }));
    expect(during.filter(({ status }) => status === 200)).toEqual([]);
    await mortal.live();
    const backMs = rig.clock.monotonic();
    const pulls = await rig.each(1_000, 15, () => rig.ask({ what: 'manifest', name: 'org/new:v1' }));
    const first = pulls.find(({ status }) => status === 200);
    expect((first?.atMs ?? Infinity) - backMs).toBeLessThanOrEqual(10_000);
    expect(pulls.at(-1)?.status).toBe(200);
  });

  it('and back every 20 s serves what is new from 10 s after each return, and cached tags all the time', async () => {
    await using mortal = await MortalRegistry.start();
    await using rig = await rigOf([mortal]);
    await warm(rig);
    const tags: Promise<readonly Got[]>[] = [];
    const cold: Got[] = [];
    for (let turn = 0; turn < 6; turn++) {
      await mortal.die(death);
      tags.push(rig.each(1_000, 20, () => rig.ask(tag)));
      await misses(rig, 1, 10);
      await rig.until(Promise.all(tags));
      await mortal.live();
      await rig.pass(10_000);
      for (let i = 0; i < 10; i++) {
        const name = `up/t${turn}-${i}`;
        mortal.registry.content.add(name, image, 'v1');
        cold.push(await rig.until(rig.ask({ what: 'manifest', name: `${name}:v1` })));
        await rig.pass(1_000);
      }
    }
    expect(cold.map(({ status }) => status)).toEqual(Array(60).fill(200));
    expect((await Promise.all(tags)).flat().map(({ status }) => status)).toEqual(Array(120).fill(200));
  });

  it.each(['first', 'second'] as const)(
    'at its %s endpoint alone keeps nobody from what is at the other',
    async (which) => {
      await using mirror = await MortalRegistry.start('mirror.test');
      await using origin = await MortalRegistry.start('origin.test');
      const pair = [mirror, origin] as const;
      await using rig = await rigOf(pair);
      await warm(rig);
      const dead = which === 'first' ? mirror : origin;
      await dead.die(death);
      const got = await rig.each(1_000, 60, (index) => {
        for (const { registry } of pair) registry.content.add(`cold/${index}`, image, 'v1');
        return rig.pull([
          { what: 'manifest', name: `cold/${index}:v1` },
          { what: 'blob', name: `cold/${index}@${image.blobs[1]?.digest ?? ''}` },
          { what: 'referrers', name: `cold/${index}@${image.digest}` },
        ]);
      });
      expect(got.flat().map(({ status }) => status)).toEqual(Array(180).fill(200));
      // Until it is known that nobody is there.
      expect(
        got
          .slice(25)
          .flat()
          .filter(({ seconds }) => seconds > 8),
      ).toEqual([]);
      expect(rig.recorded.breaker).toEqual([]);
    },
  );
});
