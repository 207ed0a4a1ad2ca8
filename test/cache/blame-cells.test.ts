/** Each cell of the table of docs/operations.md (what happened × what is slowed, refused or stale × how long) is a test. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { Standing } from '../../src/upstream/limits/standing.ts';
import { UpstreamError } from '../../src/upstream/contract/errors.ts';
import type { Question } from '../../src/upstream/contract/question.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { buildImage } from '../support/image-builder.ts';
import { countingLookup, MortalRegistry } from '../support/mortal-registry.ts';
import { answer, hold, redirect } from '../support/upstream/behaviour.ts';
import { never, repo } from '../upstream/support/clients.ts';
import { type Asked, BlameRig, ClockGate, type Got } from './support/blame-rig.ts';

const image = buildImage({ seed: 'cells', layers: [1_000, 2_000, 3_000] });

/** Has answered something, a minute ago. */
async function wellRig(options: Parameters<typeof BlameRig.start>[0] = {}): Promise<BlameRig> {
  const rig = await BlameRig.start(options);
  rig.registry.content.add('org/well', image, 'v1');
  expect((await rig.until(rig.ask({ what: 'manifest', name: 'org/well:v1' }))).status).toBe(200);
  await rig.pass(60_000, 5_000);
  rig.registry.forgetRequests();
  return rig;
}

/** Asks for all of them at once. */
function together(rig: BlameRig, all: readonly Asked[]): Promise<readonly Got[]> {
  return Promise.all(all.map((asked) => rig.ask(asked)));
}

const tags = (repository: string, count: number, from = 0): readonly Asked[] =>
  Array.from({ length: count }, (_, i) => ({ what: 'manifest', name: `${repository}:t${from + i}` }) as const);
/** Manifests of as many repositories. */
const repositories = (count: number, from = 0): readonly Asked[] =>
  Array.from({ length: count }, (_, i) => ({ what: 'manifest', name: `other/r${from + i}:v1` }) as const);

/** How many requests have come at the registry after each of so many steps of time. */
async function counts(rig: BlameRig, stepMs: number, steps: number): Promise<readonly number[]> {
  const seen: number[] = [];
  for (let step = 0; step < steps; step++) {
    await rig.pass(stepMs, 50);
    seen.push(rig.registry.requests.length);
  }
  return seen;
}

/** Polls until nothing more can be learnt, and says when the registry was asked, in seconds. */
async function whenAsked(rig: BlameRig, asked: Asked, seconds: number): Promise<readonly number[]> {
  const at: number[] = [];
  const startMs = rig.clock.monotonic();
  for (let second = 0; second < seconds; second++) {
    const before = rig.registry.requests.length;
    await rig.until(rig.ask(asked), 10_000, 10);
    if (rig.registry.requests.length > before) at.push(second);
    await rig.pass(startMs + (second + 1) * 1_000 - rig.clock.monotonic(), 1_000);
  }
  return at;
}

async function mortalRig(): Promise<{ rig: BlameRig; mortal: MortalRegistry } & AsyncDisposable> {
  const mortal = await MortalRegistry.start();
  const upstream = { transport: countingLookup([mortal]) };
  const rig = await wellRig({ registries: [mortal.registry], urls: [mortal.url], tagTtlMs: 1_000, upstream });
  return {
    rig,
    mortal,
    async [Symbol.asyncDispose]() {
      await rig[Symbol.asyncDispose]();
      await mortal[Symbol.asyncDispose]();
    },
  };
}

/** The seconds at which weir dialled while somebody asked each second. */
async function whenDialled({ rig, mortal }: { rig: BlameRig; mortal: MortalRegistry }, seconds: number) {
  const at: number[] = [];
  for (let second = 1; second <= seconds; second++) {
    await rig.pass(1_000, 1_000);
    const before = mortal.dials;
    void rig.ask({ what: 'manifest', name: `new/r${second}:v1` });
    await rig.rest();
    if (mortal.dials > before) at.push(second);
  }
  return at;
}

async function expectDown({ rig }: { rig: BlameRig }): Promise<void> {
  expect(rig.recorded.breaker).toEqual([true]);
  expect((await rig.ask({ what: 'manifest', name: 'org/new:v1' })).status).toBe('breakerOpen');
  expect(await rig.ask({ what: 'manifest', name: 'org/well:v1' })).toMatchObject({ how: 'stale', seconds: 0 });
}

const slow = answer(429);
const long = answer(429, { headers: { 'Retry-After': '3600' } });

/** By the text of the first column: the tests of the second and of the third. */
const proofs: Readonly<Record<string, readonly [() => Promise<void>, () => Promise<void>]>> = {
  'a question failed': [
    async () => {
      await using rig = await wellRig();
      rig.registry.on({ reference: 't0' }, answer(500));
      for (const [asked] of [tags('org/app', 1), tags('org/app', 1)]) {
        const got = await rig.until(rig.ask(asked ?? { what: 'tags', name: '' }));
        expect([got.status, got.reason]).toEqual(['serverError', expect.stringContaining('answered 500')]);
      }
      expect(rig.registry.requests).toHaveLength(1);
      rig.registry.content.add('org/app', image, 't1');
      expect((await rig.until(together(rig, tags('org/app', 1, 1)))).map(({ status }) => status)).toEqual([200]);
    },
    async () => {
      await using rig = await wellRig();
      const [asked = { what: 'tags', name: '' } as const] = tags('org/app', 1);
      rig.registry.on({ reference: 't0' }, answer(500));
      expect(await whenAsked(rig, asked, 200)).toEqual([0, 5, 15, 35, 75, 135, 195]);
      rig.registry.clearRules();
      rig.registry.content.add('org/app', image, 't0');
      await rig.pass(60_000, 5_000);
      expect((await rig.until(rig.ask(asked))).status).toBe(200);
      // It was answered: the next failure is a first one.
      rig.registry.on({ reference: 't0' }, answer(500));
      await rig.pass(61_000, 5_000);
      expect((await whenAsked(rig, asked, 16)).length).toBeGreaterThan(1);
    },
  ],
  'three questions of a repository and kind failed, and nothing of it was answered': [
    async () => {
      await using rig = await wellRig();
      rig.registry.on({ repository: 'org/app' }, answer(500));
      await rig.until(together(rig, tags('org/app', 3)));
      await rig.pass(5_000);
      rig.registry.forgetRequests();
      // Those that have failed come first, and but for one that nobody was before, they are asked last.
      const all = together(rig, [...tags('org/app', 3), ...tags('org/app', 3, 3)]);
      expect(await counts(rig, 1_000, 6)).toEqual([2, 3, 4, 5, 6, 6]);
      const order = rig.registry.requests.map(({ reference }) => reference);
      expect(order.slice(-2).toSorted()).toEqual(['t1', 't2']);
      expect(order.slice(1, 4)).toEqual(['t3', 't4', 't5']);
      await rig.until(all);
    },
    async () => {
      await using rig = await wellRig();
      rig.registry.on({ repository: 'org/app' }, answer(500));
      await rig.until(together(rig, tags('org/app', 3)));
      rig.registry.clearRules();
      rig.registry.content.add('org/app', image, ...tags('org/app', 40).map(({ name }) => name.split(':')[1] ?? ''));
      const all = together(rig, tags('org/app', 20, 3));
      expect((await rig.until(all)).map(({ status }) => status)).toEqual(Array(20).fill(200));
      expect(Math.max(...(await all).map(({ seconds }) => seconds))).toBeLessThanOrEqual(1.5);
    },
  ],
  'the same in three repositories': [
    async () => {
      await using rig = await wellRig();
      rig.registry.always = answer(500);
      for (const name of ['a/a', 'b/b', 'c/c']) await rig.until(together(rig, tags(name, 3)), 120_000, 50);
      await rig.pass(1_000);
      rig.registry.forgetRequests();
      const all = together(rig, repositories(6));
      expect(await counts(rig, 1_000, 4)).toEqual([2, 3, 4, 5]);
      // Another kind is not held up by that, but by what holds up the upstream.
      rig.registry.always = {};
      const other = together(rig, [{ what: 'tags', name: 'org/well' }]);
      expect((await rig.until(other))[0]?.seconds).toBeLessThanOrEqual(0.5);
      await rig.until(all);
    },
    async () => {
      await using rig = await wellRig();
      rig.registry.always = answer(500);
      for (const name of ['a/a', 'b/b', 'c/c']) await rig.until(together(rig, tags(name, 3)), 120_000, 50);
      rig.registry.always = {};
      for (const { name } of repositories(20)) rig.registry.content.add(name.split(':')[0] ?? '', image, 'v1');
      const got = await rig.until(together(rig, repositories(20)), 10_000, 50);
      expect(got.map(({ status }) => status)).toEqual(Array(20).fill(200));
      expect(Math.max(...got.map(({ seconds }) => seconds))).toBeLessThanOrEqual(1.5);
    },
  ],
  'ten seconds brought failures and no answer': [
    async () => {
      await using rig = await wellRig();
      rig.registry.always = answer(500);
      await rig.until(together(rig, repositories(1)));
      rig.registry.forgetRequests();
      const all = together(rig, [
        ...repositories(2, 1),
        { what: 'tags', name: 'org/well' },
        { what: 'referrers', name: `org/well@${image.digest}` },
        { what: 'blob', name: `org/well@${image.blobs[0]?.digest ?? ''}` },
      ]);
      expect((await counts(rig, 1_000, 3)).map((count) => count >= 2 && count <= 7)).toEqual([true, true, true]);
      expect(rig.registry.requests.length).toBeLessThanOrEqual(7);
      await rig.until(all);
    },
    async () => {
      await using rig = await wellRig();
      for (const { name } of repositories(40)) rig.registry.content.add(name.split(':')[0] ?? '', image, 'v1');
      const sick = rig.registry.on({ repository: 'other/r0' }, answer(500));
      await rig.until(together(rig, repositories(1)));
      const got = await rig.until(together(rig, repositories(20, 1)), 10_000, 50);
      expect(got.map(({ status }) => status)).toEqual(Array(20).fill(200));
      expect(Math.max(...got.map(({ seconds }) => seconds))).toBeLessThanOrEqual(1);
      await rig.pass(20_000, 1_000);
      await rig.until(together(rig, repositories(1)));
      await rig.pass(10_000, 1_000);
      sick.remove();
      expect((await together(rig, repositories(19, 21))).map(({ seconds }) => seconds)).toEqual(Array(19).fill(0));
    },
  ],
  'no connection comes about': [
    async () => {
      await using at = await mortalRig();
      await at.mortal.die('refused');
      await at.rig.until(together(at.rig, tags('org/app', 1)));
      await expectDown(at);
    },
    async () => {
      await using at = await mortalRig();
      await at.mortal.die('refused');
      await at.rig.until(together(at.rig, tags('org/app', 1)));
      expect(await whenDialled(at, 30)).toEqual([5, 15, 25]);
      const { dials } = at.mortal;
      await at.rig.pass(120_000, 5_000);
      expect(at.mortal.dials).toBe(dials);
      at.rig.registry.content.add('org/app', image, 't0');
      await at.mortal.live();
      expect((await at.rig.until(together(at.rig, tags('org/app', 1)))).map(({ status }) => status)).toEqual([200]);
      expect(at.rig.recorded.breaker).toEqual([true, false]);
    },
  ],
  "silence for 8 s, and then for 8 s to weir's own `GET /v2/`": [
    async () => {
      await using at = await mortalRig();
      await at.mortal.die('silent');
      const asked = together(
        at.rig,
        [...tags('org/app', 1)].map((one) => ({ ...one, patienceMs: 20_000 })),
      );
      await at.rig.pass(15_500);
      expect(at.rig.recorded.breaker).toEqual([]);
      await at.rig.pass(1_000);
      await expectDown(at);
      await at.rig.until(asked);

      await using rig = await wellRig();
      await using storage = await MortalRegistry.start('127.0.0.1');
      await storage.die('silent');
      rig.registry.content.add('org/far', image);
      rig.registry.on(
        { kind: 'blob' },
        redirect(({ reference }) => `${storage.url.origin}/cdn/${reference}`),
      );
      const far = image.blobs.map(({ digest }) => ({ what: 'blob', name: `org/far@${digest}` }) as const);
      const objects = together(rig, far.slice(0, 1));
      await rig.pass(20_000);
      expect(storage.registry.connections).toBe(1);
      const second = together(rig, far.slice(1, 2));
      await rig.pass(9_000);
      const told = await rig.until(together(rig, far.slice(2, 3)));
      expect(told.map(({ status, seconds }) => [status, seconds])).toEqual([['breakerOpen', 0]]);
      await rig.until(Promise.all([objects, second]));
    },
    async () => {
      await using at = await mortalRig();
      await at.mortal.die('silent');
      void at.rig.ask({ what: 'manifest', name: 'org/app:v1', patienceMs: 17_000 });
      await at.rig.pass(16_000);
      expect(at.rig.recorded.breaker).toEqual([true]);
      // A look takes 8 s, and the pause begins when it is over.
      expect(await whenDialled(at, 50)).toEqual([5, 23, 41]);
      await at.mortal.live();
      await at.rig.pass(20_000, 1_000);
      at.rig.registry.content.add('org/new', image, 'v1');
      expect((await at.rig.until(at.rig.ask({ what: 'manifest', name: 'org/new:v1' }))).status).toBe(200);
    },
  ],
  '429 with no `Retry-After`, or up to 10 s': [
    async () => {
      await using rig = await wellRig({ hasPrefetch: true });
      rig.registry.content.add('org/app', image, 't0', 't1', 't2', 't3', 'head');
      rig.registry.on({ kind: 'manifest', method: 'GET' }, { times: 1 }, slow);
      const got = await rig.until(
        Promise.all([
          together(
            rig,
            tags('org/app', 4).map((one) => ({ ...one, client: '10.0.0.1' })),
          ),
          together(rig, [
            { what: 'head', name: 'org/app:head' },
            { what: 'tags', name: 'org/app' },
          ]),
        ]),
        60_000,
        50,
      );
      expect(got.flat().map(({ status }) => status)).toEqual(Array(6).fill(200));
      expect(got[1]?.map(({ seconds }) => seconds)).toEqual([0, 0]);
      // What nobody has asked for yet is not begun while others wait.
      await rig.pass(60_000, 5_000);
      rig.registry.on({ kind: 'blob' }, { times: 1 }, slow);
      rig.registry.content.add('org/next', buildImage({ seed: 'next', layers: [1_000, 2_000, 3_000, 4_000] }), 'v1');
      const layers = image.blobs.map(({ digest }) => ({ what: 'blob', name: `org/app@${digest}` }) as const);
      void together(rig, layers);
      await rig.rest();
      const begun = rig.registry.count({ kind: 'blob' });
      await rig.until(rig.ask({ what: 'manifest', name: 'org/next:v1' }), 1_000, 10);
      await rig.rest();
      expect(rig.registry.count({ kind: 'blob', repository: 'org/next' })).toBe(0);
      expect(begun).toBeGreaterThan(0);
      await rig.pass(20_000);
      await expectAskersApart();
    },
    async () => {
      await using rig = await wellRig();
      rig.registry.content.add('org/app', image, ...tags('org/app', 200).map(({ name }) => name.split(':')[1] ?? ''));
      rig.registry.on({ kind: 'manifest' }, { times: 1 }, answer(429, { headers: { 'Retry-After': '9' } }));
      const first = together(rig, tags('org/app', 1));
      await rig.pass(500, 50);
      const got = await rig.until(together(rig, tags('org/app', 99, 1)), 60_000, 50);
      const limited = got.filter(({ status }) => status === 'rateLimited');
      expect(got.filter(({ status }) => status === 200).length).toBeGreaterThan(10);
      expect(limited.length).toBeGreaterThan(10);
      for (const { seconds, retryAfterMs = 0 } of limited) {
        expect(seconds).toBeLessThanOrEqual(25);
        expect(retryAfterMs).toBeGreaterThanOrEqual(1_000);
      }
      expect(Math.max(...got.map(({ seconds }) => seconds))).toBeLessThanOrEqual(25.1);
      await rig.until(first);
      await rig.pass(61_000, 5_000);
      expect((await together(rig, tags('org/app', 100, 100))).map(({ seconds }) => seconds)).toEqual(
        Array(100).fill(0),
      );
    },
  ],
  '429 with more': [
    async () => {
      await using rig = await wellRig();
      rig.registry.content.add('org/app', image, 't0', 't1');
      rig.registry.on({ kind: 'manifest', method: 'GET' }, { times: 1 }, long);
      const [told] = await rig.until(together(rig, tags('org/app', 1)));
      expect(told).toMatchObject({ status: 'rateLimited', retryAfterMs: 600_000 });
      const rest = await rig.until(together(rig, tags('org/app', 2)));
      expect(rest.map(({ status, seconds }) => [status, seconds])).toEqual(Array(2).fill(['rateLimited', 0]));
      expect(rig.registry.requests).toHaveLength(1);
      const others = await rig.until(
        together(rig, [
          { what: 'head', name: 'org/app:t0' },
          { what: 'tags', name: 'org/app' },
        ]),
      );
      expect(others.map(({ status }) => status)).toEqual([200, 200]);
      await expectAskersApart();
    },
    async () => {
      await using rig = await wellRig();
      rig.registry.content.add('org/app', image, ...tags('org/app', 20).map(({ name }) => name.split(':')[1] ?? ''));
      rig.registry.always = hold('before', new ClockGate(rig.clock, 200));
      rig.registry.on({ kind: 'manifest' }, { times: 1 }, long);
      await rig.until(together(rig, tags('org/app', 1)));
      await rig.pass(570_000, 10_000);
      expect((await rig.ask({ what: 'manifest', name: 'org/app:t1' })).status).toBe('rateLimited');
      await rig.pass(31_000);
      const all = together(rig, tags('org/app', 10, 2));
      await rig.rest();
      expect(rig.registry.requests).toHaveLength(2);
      expect((await rig.until(all)).map(({ status }) => status)).toEqual(Array(10).fill(200));
    },
  ],
};

/** A limit of strangers is none of whoever shows a credential. */
async function expectAskersApart(): Promise<void> {
  const clock = new FakeClock();
  const standing = new Standing('hub', clock);
  const question = { kind: 'manifests', method: 'GET', repository: repo('a/b'), subject: 'v1' } as const;
  const patience = { startedMs: 0, endsAtMs: 60_000 };
  const error = new UpstreamError('rateLimited', 'no', { upstream: 'hub', retryAfterMs: 60_000 });
  const stranger: Question = { ...question, asker: 'nobody' };
  standing.settle(stranger, { kind: 'limited', error }, 0);
  await expect(standing.admit(stranger, patience, never)).rejects.toMatchObject({ kind: 'rateLimited' });
  await standing.admit({ ...question, asker: 'credential' }, patience, never);
}

const operations = readFileSync('docs/operations.md', 'utf8');
const rows = (operations.split('### What a failure holds up')[1] ?? '')
  .split('\n## ')[0]
  ?.split('\n')
  .filter((line) => line.startsWith('|'))
  .slice(2)
  .map((line) =>
    line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );

describe('the table of docs/operations.md', () => {
  it('is proved row by row', () => {
    expect(rows?.map(([what]) => what)).toEqual(Object.keys(proofs));
  });
});

describe.each(rows ?? [])('%s', (what, held, howLong) => {
  const [first, second] = proofs[what] ?? [];
  it(`× ${held}`, () => first?.());
  it(`× ${held} × ${howLong}`, () => second?.());
});
