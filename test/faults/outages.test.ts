import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually, patienceMs, within } from '../support/gate.ts';
import { outages } from './support/outage-modes.ts';
import { OutageStage, type Scene, type Timed } from './support/outage-stage.ts';

/** Times get three times the allowance of the promise, because the machine may be busy. */
const allowance = 3;
const staleAfterMs = 2000 * allowance;
const atOnceMs = 200 * allowance;
/** The time of one question at an upstream. */
const questionMs = 60_000;
/** Referrers are fresh for that long. */
const listingTtlMs = 30_000;

let stage: OutageStage;
let cachedAtMs: number;
const ends: (() => Promise<void>)[] = [];

beforeAll(async () => {
  stage = await OutageStage.set(outages);
  await stage.each(async (scene) => {
    for (const entry of ['expired', 'fresh'] as const) {
      for (const place of places(scene)) expect((await scene.ask(entry, place)).status).toBe(200);
    }
  });
  cachedAtMs = performance.now();
  await eventually(() => stage.scenes.every(({ blobDigest }) => stage.weir.blobs().includes(blobDigest)));
  for (const { outage, upstream } of stage.scenes) ends.push(await outage.begin(upstream));
}, 60_000);

afterAll(() => stage?.[Symbol.asyncDispose]());

/** All that is cached. */
function places({ image, blobDigest }: Scene): readonly string[] {
  return [
    'manifests/latest',
    'manifests/fresh',
    `manifests/${image.digest}`,
    `blobs/${blobDigest}`,
    `referrers/${image.digest}`,
  ];
}

function isStale({ status, headers }: Timed): boolean {
  return status === 200 && /^weir; hit; ttl=-[0-9]+; detail=stale$/.test(headers['cache-status'] ?? '');
}

/** What a client sees of a tag whose time is up, as a word of `Outage.tag`. */
function wordOf(seen: Timed, { image }: Scene): string {
  if (seen.status !== 200) return JSON.parse(seen.body.toString()).errors.length > 0 ? String(seen.status) : 'no error';
  if (seen.sha256 !== image.digest) return 'other bytes';
  return isStale(seen) ? 'stale' : 'fresh';
}

/** Every digest, GET and HEAD, right and without asking the upstream for anything. */
async function expectDigests(): Promise<void> {
  const seen = await stage.each(async (scene) => {
    const before = await scene.asked();
    const { image, blobDigest } = scene;
    const answers = [];
    for (const method of ['GET', 'HEAD']) {
      for (const [place, digest] of [
        [`manifests/${image.digest}`, image.digest],
        [`blobs/${blobDigest}`, blobDigest],
      ]) {
        const { status, sha256, headers, ms } = await scene.ask('expired', place ?? '', method);
        const isRight = status === 200 && headers['docker-content-digest'] === digest;
        answers.push(isRight && (method === 'HEAD' || sha256 === digest) && ms < 5000);
      }
    }
    return [...answers, (await scene.asked()) - before];
  });
  expect(seen).toEqual(stage.expected(() => [true, true, true, true, 0]));
}

describe.each([['while weir runs'], ['after a restart']])('with every upstream out of order, %s', (when) => {
  if (when === 'after a restart') {
    it('weir is ready as fast as ever, asking nobody', async () => {
      expect(await stage.weir.stop()).toBe(0);
      const before = stage.scenes.map(({ upstream }) => upstream.connections);
      const readyMs = await stage.weir.start();
      console.log(`outages: ready after ${readyMs.toFixed(0)} ms`);
      expect(readyMs).toBeLessThan(2000 * allowance);
      expect(stage.scenes.map(({ upstream }) => upstream.connections)).toEqual(before);
    });
  }

  it('cached digests are served with no upstream contact at all', expectDigests);

  it('a fresh tag is served with no upstream contact at all', async () => {
    const seen = await stage.each(async (scene) => {
      const before = await scene.asked();
      const answers = [
        await scene.ask('fresh', 'manifests/fresh'),
        await scene.ask('fresh', 'manifests/fresh', 'HEAD'),
      ];
      const [get, head] = answers;
      const isHit = answers.every(({ headers }) => /^weir; hit; ttl=[0-9]+$/.test(headers['cache-status'] ?? ''));
      return [get?.sha256 === scene.image.digest, head?.status, isHit, (await scene.asked()) - before];
    });
    expect(seen).toEqual(stage.expected(() => [true, 200, true, 0]));
  });

  it('a tag whose time is up is stale within two seconds, or follows the upstream when that gives an answer', async () => {
    const seen = await stage.each(async (scene) => {
      const first = await scene.ask('expired', 'manifests/latest');
      return [wordOf(first, scene), first.ms < staleAfterMs];
    });
    expect(seen).toEqual(stage.expected(({ tag }) => [String(tag), true]));
  });

  it('the next time it is so at once, for GET and HEAD and for other tags of the same upstream', async () => {
    const seen = await stage.each(async (scene) => {
      const times = [];
      for (const [method, tag] of [
        ['GET', 'latest'],
        ['HEAD', 'latest'],
        ['GET', 'fresh'],
        ['GET', 'latest'],
      ] as const) {
        const answer = await scene.ask('expired', `manifests/${tag}`, method);
        times.push(answer.ms);
        if (scene.outage.tag === 'stale' && !isStale(answer))
          return `${tag}: ${answer.status} ${answer.headers['cache-status'] ?? ''}`;
      }
      return Math.max(...times) < atOnceMs ? 'at once' : times;
    });
    expect(seen).toEqual(stage.expected(() => 'at once'));
  });
});

describe('what is not cached, with every upstream out of order', () => {
  const kinds = [
    ['tag', 'coldTag'],
    ['blob', 'coldBlob'],
    ['referrers', 'coldReferrers'],
  ] as const;

  it('a tag, a blob and referrers are honest errors when the time of a question is up, if not before', async () => {
    const seen = await stage.each(async (scene) => {
      const { coldDigest, newer } = scene;
      const place = { tag: 'manifests/cold', blob: `blobs/${coldDigest}`, referrers: `referrers/${newer.digest}` };
      const one = async ([entry]: (typeof kinds)[number]): Promise<readonly unknown[]> => {
        const { status, ms, body, headers } = await scene.ask(entry, place[entry]);
        if (status !== 200) expect(body.toString()).toMatch(`{"errors":[{"code":"`);
        if (status !== 200) expect(body.toString()).toContain(scene.outage.name);
        if (status === 503) expect(Number(headers['retry-after'])).toBeGreaterThan(0);
        return [entry, status, ms < questionMs * 1.2];
      };
      return Promise.all(kinds.map(one));
    });
    expect(seen).toEqual(stage.expected((outage) => kinds.map(([entry, field]) => [entry, outage[field], true])));
  });

  it('referrers that were cached are stale when their time is up, and never an empty list', async () => {
    const seen = await stage.each(async (scene) => {
      await eventually(() => performance.now() > cachedAtMs + listingTtlMs + 1000, undefined, listingTtlMs + 2000);
      const answer = await scene.ask('fresh', `referrers/${scene.image.digest}`);
      if (answer.status !== 200) return answer.status;
      const { manifests } = JSON.parse(answer.body.toString()) as { manifests: readonly unknown[] };
      return `${manifests.length} ${isStale(answer) ? 'stale' : String(answer.headers['cache-status'])}`;
    });
    expect(seen).toEqual(
      stage.expected(({ coldReferrers }) =>
        coldReferrers === 404 || coldReferrers === 403 ? coldReferrers : '1 stale',
      ),
    );
  });
});

describe('when the outage is over', () => {
  it('tags are fresh again within the first pause of the breaker, moved where they have moved, and new content comes', async () => {
    for (const { upstream, newer } of stage.scenes) upstream.content.add('team/app', newer, 'latest');
    await within(patienceMs, Promise.all(ends.map((end) => end())), () => 'the end of every outage');
    const seen = await stage.each(async (scene) => {
      const began = performance.now();
      await eventually(
        async () => (await scene.ask('expired', 'manifests/latest')).sha256 === scene.newer.digest,
        () => `${scene.outage.name} to be asked again`,
        70_000,
      );
      const tookMs = performance.now() - began;
      await eventually(
        async () => (await scene.ask('blob', `blobs/${scene.coldDigest}`)).status === 200,
        undefined,
        70_000,
      );
      return tookMs < 65_000;
    });
    expect(seen).toEqual(stage.expected(() => true));
    await expectDigests();
  });
});
