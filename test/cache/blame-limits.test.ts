/** An upstream that allows so many requests a second, and says no more than 429, as ECR Public does. On one clock. */
import { describe, expect, it } from 'vitest';
import { buildImage } from '../support/image-builder.ts';
import { answer, hold } from '../support/upstream/behaviour.ts';
import { BlameRig, ClockGate, type Asked, type Got } from './support/blame-rig.ts';

const answerMs = 100;

/** A bucket of so many, filled at that many a second. Resolves with when requests came, and when they were refused. */
function limitTo(perSecond: number, rig: BlameRig): { readonly came: number[]; readonly refused: number[] } {
  const came: number[] = [];
  const refused: number[] = [];
  let tokens = perSecond;
  let filledAtMs = 0;
  const isOver = (): boolean => {
    const nowMs = rig.clock.monotonic();
    tokens = Math.min(perSecond, tokens + ((nowMs - filledAtMs) / 1_000) * perSecond);
    filledAtMs = nowMs;
    came.push(nowMs);
    const isRefused = tokens < 1;
    if (isRefused) refused.push(nowMs);
    else tokens--;
    return isRefused;
  };
  const late = hold('before', new ClockGate(rig.clock, answerMs));
  rig.registry.always = late;
  rig.registry.on({ where: isOver }, { ...answer(429), ...late });
  return { came, refused };
}

/** Those that were sent after somebody had been told. */
function later({ refused }: { readonly refused: readonly number[] }): number {
  const toldMs = (refused[0] ?? Infinity) + answerMs;
  return refused.filter((atMs) => atMs > toldMs).length;
}

/** docker_client.go of containers/image: 429 is waited out, five times, from two seconds on; all else is the end. */
async function likeSkopeo(rig: BlameRig, asked: Asked): Promise<Got> {
  for (let waitMs = 2_000, tries = 1; ; tries++, waitMs *= 2) {
    const got = await rig.ask(asked);
    if (got.status !== 'rateLimited' || tries === 5) return got;
    await rig.clock.sleep(Math.max(waitMs, got.retryAfterMs ?? 0));
  }
}

/** A manifest, then its config and layers, six at a time. */
async function pull(rig: BlameRig, repository: string, client: string, digests: readonly string[]): Promise<Got[]> {
  const manifest = await likeSkopeo(rig, { what: 'manifest', name: `${repository}:v1`, client });
  if (manifest.status !== 200) return [manifest];
  const left = [...digests];
  const got: Got[] = [manifest];
  const lane = async (): Promise<void> => {
    for (let digest = left.shift(); digest !== undefined; digest = left.shift()) {
      got.push(await likeSkopeo(rig, { what: 'blob', name: `${repository}@${digest}`, client }));
    }
  };
  await Promise.all(Array.from({ length: 6 }, lane));
  return got;
}

it('a cached tag costs 2 s once while its question waits in turn, and other tags nothing', async () => {
  await using rig = await BlameRig.start({ tagTtlMs: 1_000 });
  rig.registry.content.add('org/app', buildImage({ seed: 'cached' }), 'v1', 'v2');
  const tags = [
    { what: 'manifest', name: 'org/app:v1' },
    { what: 'head', name: 'org/app:v1' },
    { what: 'manifest', name: 'org/app:v2' },
  ] as const;
  for (const tag of tags) await rig.until(rig.ask(tag));
  await rig.pass(2_000);
  rig.registry.always = answer(429, { headers: { 'Retry-After': '7' } });
  const seconds: number[] = [];
  for (let i = 0; i < 15; i++) {
    for (const tag of tags) {
      const got = await rig.until(rig.ask(tag), 10_000, 50);
      expect([got.status, got.how]).toEqual([200, 'stale']);
      seconds.push(got.seconds);
    }
    await rig.pass(1_000);
  }
  expect(seconds.filter((one) => one > 0)).toEqual([2]);
});

describe.each([
  ['with prefetch', true],
  ['without', false],
])('%s', (_, hasPrefetch) => {
  it.each([
    [4, 5],
    [4, 10],
    [1, 3],
    [1, 1],
  ])('%i clients of six layers each come through %i requests a second, and few are refused', async (clients, rate) => {
    await using rig = await BlameRig.start({ hasPrefetch });
    const limit = limitTo(rate, rig);
    const pulls = Array.from({ length: clients }, (__, index) => {
      const image = buildImage({ seed: index, layers: Array(6).fill(3_000) });
      rig.registry.content.add(`org/r${index}`, image, 'v1');
      return pull(
        rig,
        `org/r${index}`,
        `10.0.0.${index}`,
        image.blobs.map(({ digest }) => digest),
      );
    });
    const got = await rig.until(Promise.all(pulls), 180_000, 50);
    expect(got.flat().map(({ status }) => status)).toEqual(Array(clients * 8).fill(200));
    expect(limit.refused.length).toBeGreaterThan(0);
    expect(later(limit)).toBeLessThanOrEqual(5);
    console.log(
      `${clients} clients at ${rate}/s ${hasPrefetch ? 'with' : 'without'} prefetch: ${limit.refused.length} refused, ` +
        `${later(limit)} of them later; ${(rig.clock.monotonic() / 1000).toFixed(1)} s for ${limit.came.length} requests`,
    );
  });
});
