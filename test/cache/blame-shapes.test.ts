/** One sick thing beside healthy ones, in each shape in which that once closed a whole registry. On one clock, over real sockets. */
import { describe, expect, it } from 'vitest';
import { buildArtifact, buildImage, type BuiltManifest } from '../support/image-builder.ts';
import { randomBytesOf } from '../support/byte-source.ts';
import { answer, type Behaviour, cut, headers, hold, html } from '../support/upstream/behaviour.ts';
import type { Match } from '../support/upstream/request.ts';
import { type Asked, BlameRig, ClockGate, type Got } from './support/blame-rig.ts';

const other = '10.0.0.9';

/** An image of its own repository, with a list of referrers. */
function publish({ registry: { content } }: BlameRig, repository: string): BuiltManifest {
  const image = buildImage({ seed: repository, layers: [2_000] });
  content.add(repository, image, 'v1');
  content.add(repository, buildArtifact({ seed: repository, subject: image }));
  return image;
}

/** All that a client may want of it, cold. */
function everythingOf(repository: string, image: BuiltManifest): readonly Asked[] {
  return [
    { what: 'head', name: `${repository}:v1`, client: other },
    { what: 'manifest', name: `${repository}:v1`, client: other },
    ...image.blobs.map(({ digest }) => ({ what: 'blob', name: `${repository}@${digest}`, client: other }) as const),
    { what: 'tags', name: repository, client: other },
    { what: 'referrers', name: `${repository}@${image.digest}`, client: other },
  ];
}

/** Pulls of images that nobody has asked for before, one every so often; what of them was not a 200. */
async function refusedOf(rig: BlameRig, everyMs: number, times: number): Promise<readonly Got[]> {
  const pulls = await rig.each(everyMs, times, (index) => {
    const repository = `cold/${index}`;
    return rig.pull(everythingOf(repository, publish(rig, repository)));
  });
  const all = pulls.flat();
  expect(all.length).toBeGreaterThanOrEqual(times);
  return all.filter(({ status }) => status !== 200);
}

/** One client that asks for the sick thing every second, whatever it gets. */
function polling(rig: BlameRig, asked: Asked, seconds: number): Promise<readonly Got[]> {
  const all = Array.from({ length: seconds }, async (_, second) => {
    await rig.clock.sleep(second * 1_000);
    return rig.ask(asked);
  });
  return Promise.all(all);
}

/** Refused from memory in between, and each time with what the upstream itself has done. */
function expectOwnReason(got: readonly Got[], pattern: RegExp): void {
  expect(got.length).toBeGreaterThan(0);
  for (const { status, reason } of got) {
    expect(status).not.toBe(200);
    expect(status).not.toBe('breakerOpen');
    expect(reason).toMatch(pattern);
  }
}

describe('one blob that breaks off at 90 % each time, whose continuing ranges are reset before a head,', () => {
  it('fails by itself: 40 other blobs of its repository come', async () => {
    await using rig = await BlameRig.start();
    const { content } = rig.registry;
    const sick = content.addBlob('org/app', randomBytesOf(100_000, 'sick'));
    const good = Array.from({ length: 40 }, (_, index) => content.addBlob('org/app', randomBytesOf(5_000, index)));
    rig.registry.on({ reference: sick, ranged: false }, cut(90_000));
    rig.registry.on({ reference: sick, ranged: true }, cut('before', 'rst'));
    const polled = polling(rig, { what: 'blob', name: `org/app@${sick}` }, 20);
    const got = await rig.each(500, 40, (index) =>
      rig.ask({ what: 'blob', name: `org/app@${good[index] ?? ''}`, client: other }),
    );
    expect(got.map(({ status, bytes }) => [status, bytes])).toEqual(Array(40).fill([200, 5_000]));
    expectOwnReason(await rig.until(polled), /broke|ECONNRESET|closed|reset/);
  });
});

const image = buildImage({ seed: 'sick', layers: [2_000] });
const sickOnes: readonly (readonly [string, Asked, Match])[] = [
  ['manifest', { what: 'manifest', name: 'bad/app:v1' }, { kind: 'manifest', method: 'GET' }],
  ['blob', { what: 'blob', name: `bad/app@${image.blobs[1]?.digest ?? ''}` }, { kind: 'blob' }],
  ['tags/list', { what: 'tags', name: 'bad/app' }, { kind: 'tags' }],
  ['referrers', { what: 'referrers', name: `bad/app@${image.digest}` }, { kind: 'referrers' }],
  ['HEAD', { what: 'head', name: 'bad/app:v1' }, { kind: 'manifest' }],
];

describe.each([
  ['500', answer(500), /500/],
  // The bytes of a blob prove that they are another one; a page for people is no list of referrers, nor ever was here.
  ['200 with text/html', html(), /HTML|the bytes are|no referrers API/],
] as const)('one thing that answers %s and is asked for each second', (_, behaviour, pattern) => {
  it.each(sickOnes)('a %s: six cold pulls in a minute are all served', async (__, asked, match) => {
    await using rig = await BlameRig.start();
    rig.registry.content.add('bad/app', image, 'v1');
    rig.registry.on({ ...match, repository: 'bad/app' }, behaviour);
    const polled = polling(rig, asked, 60);
    expect(await refusedOf(rig, 9_000, 6)).toEqual([]);
    expectOwnReason(await rig.until(polled), pattern);
  });

  it('referrers: 15 cold pulls in 150 s are all served', async () => {
    await using rig = await BlameRig.start();
    rig.registry.content.add('bad/app', image, 'v1');
    rig.registry.on({ kind: 'referrers', repository: 'bad/app' }, behaviour);
    const polled = polling(rig, { what: 'referrers', name: `bad/app@${image.digest}` }, 150);
    expect(await refusedOf(rig, 10_000, 15)).toEqual([]);
    expectOwnReason(await rig.until(polled), pattern);
  });
});

describe('one manifest whose head takes 12 s', () => {
  it('and is asked for again and again by a client that waits 5 s: 52 cold questions in a minute are served', async () => {
    await using rig = await BlameRig.start();
    const images = Array.from({ length: 52 }, (_, index) => publish(rig, `cold/${index}`));
    rig.registry.content.add('bad/app', image, 'v1');
    rig.registry.on({ repository: 'bad/app' }, hold('before', new ClockGate(rig.clock, 12_000)));
    const impatient = rig.each(5_500, 4, () => rig.ask({ what: 'manifest', name: 'bad/app:v1', patienceMs: 5_000 }));
    const got = await rig.each(1_150, 52, (index) =>
      rig.ask({ what: 'manifest', name: `cold/${index}@${images[index]?.digest ?? ''}`, client: other }),
    );
    expect(got.map(({ status }) => status)).toEqual(Array(52).fill(200));
    // The question of the first went on, so the third finds its answer.
    expect((await rig.until(impatient)).map(({ status }) => status)).toEqual(['left', 'left', 200, 200]);
    expect(rig.registry.count({ repository: 'bad/app' })).toBe(1);
  });

  it('and is asked about again in the background: 52 cold questions are served, and other tags are fresh', async () => {
    await using rig = await BlameRig.start({ tagTtlMs: 1_000 });
    const images = Array.from({ length: 52 }, (_, index) => publish(rig, `cold/${index}`));
    rig.registry.content.add('bad/app', image, 'v1');
    publish(rig, 'good/app');
    for (const name of ['bad/app:v1', 'good/app:v1']) await rig.until(rig.ask({ what: 'manifest', name }));
    await rig.pass(1_500);
    rig.registry.on({ repository: 'bad/app' }, hold('before', new ClockGate(rig.clock, 12_000)));
    const polled = polling(rig, { what: 'manifest', name: 'bad/app:v1' }, 60);
    const fresh = polling(rig, { what: 'manifest', name: 'good/app:v1', client: other }, 60);
    const got = await rig.each(1_150, 52, (index) =>
      rig.ask({ what: 'manifest', name: `cold/${index}@${images[index]?.digest ?? ''}`, client: other }),
    );
    expect(got.map(({ status }) => status)).toEqual(Array(52).fill(200));
    const slow = await rig.until(polled);
    expect(slow.map(({ status }) => status)).toEqual(Array(60).fill(200));
    expect(slow.filter(({ how }) => how === 'stale').length).toBeGreaterThan(30);
    expect((await rig.until(fresh)).filter(({ how }) => how === 'stale')).toEqual([]);
  });
});

const later: Behaviour = answer(429, { headers: { 'Retry-After': '600' } });

describe('one 429 that is to last for long', () => {
  it('on a manifest: layers and HEADs of images whose manifest had come are served, all the while', async () => {
    await using rig = await BlameRig.start();
    const images = Array.from({ length: 20 }, (_, index) => publish(rig, `org/${index}`));
    for (const index of images.keys())
      await rig.until(rig.ask({ what: 'manifest', name: `org/${index}:v1`, client: other }));
    rig.registry.content.add('bad/app', image, 'v1');
    rig.registry.on({ kind: 'manifest', method: 'GET' }, later);
    const limited = await rig.until(rig.ask({ what: 'manifest', name: 'bad/app:v1' }));
    expect([limited.status, limited.retryAfterMs]).toEqual(['rateLimited', 600_000]);
    const got = await rig.each(28_000, 20, async (index) =>
      Promise.all([
        rig.ask({ what: 'head', name: `org/${index}:v1`, client: other }),
        ...(images[index]?.blobs ?? []).map(({ digest }) =>
          rig.ask({ what: 'blob', name: `org/${index}@${digest}`, client: other }),
        ),
      ]),
    );
    expect(got.flat().map(({ status }) => status)).toEqual(Array(20 * 3).fill(200));
    expect(rig.registry.count({ repository: 'bad/app', method: 'GET' })).toBe(1);
  });

  it('on referrers: manifests and layers are served, all the while', async () => {
    await using rig = await BlameRig.start();
    rig.registry.content.add('bad/app', image, 'v1');
    rig.registry.on({ kind: 'referrers', repository: 'bad/app' }, later);
    const limited = await rig.until(rig.ask({ what: 'referrers', name: `bad/app@${image.digest}` }));
    expect([limited.status, limited.retryAfterMs]).toEqual(['rateLimited', 600_000]);
    const got = await rig.each(28_000, 20, (index) => {
      const repository = `cold/${index}`;
      const wanted = everythingOf(repository, publish(rig, repository));
      return rig.pull(wanted.filter(({ what }) => what !== 'referrers'));
    });
    expect(got.flat().map(({ status }) => status)).toEqual(Array(20 * 5).fill(200));
  });
});

describe('a Retry-After that is the Unix time in three seconds', () => {
  it('is waited out by the client that met it, and keeps nobody for longer', async () => {
    await using rig = await BlameRig.start();
    rig.registry.content.add('bad/app', image, 'v1');
    const at = String(Math.floor(rig.clock.now() / 1000) + 3);
    rig.registry.on({ kind: 'manifest' }, { times: 1 }, answer(429, { headers: { 'Retry-After': at } }));
    const first = rig.ask({ what: 'manifest', name: 'bad/app:v1' });
    expect(await refusedOf(rig, 5_000, 6)).toEqual([]);
    const { status, seconds } = await first;
    expect(status).toBe(200);
    expect(seconds).toBeLessThan(5);
  });
});

describe('three answers with a header that is wrong', () => {
  it.each<[string, Behaviour]>([
    ['a digest that is bare hex', headers({ 'Docker-Content-Digest': 'ab'.repeat(32) })],
    ['a digest that is an ETag', headers({ 'Docker-Content-Digest': '"5d41402a"' })],
    ['an empty digest', headers({ 'Docker-Content-Digest': '' })],
    ['aws-chunked', headers({ 'Content-Encoding': 'aws-chunked' })],
  ])('%s: they are right all the same, and nothing is refused', async (_, behaviour) => {
    await using rig = await BlameRig.start();
    const wrong = [0, 1, 2].map((index) => [`wrong/${index}`, publish(rig, `wrong/${index}`)] as const);
    rig.registry.on(
      { where: ({ repository }) => repository.startsWith('wrong/'), kind: ['manifest', 'blob'] },
      behaviour,
    );
    for (const [repository, built] of wrong) {
      const got = await rig.until(rig.pull(everythingOf(repository, built)));
      expect(got.map(({ status }) => status)).toEqual(Array(6).fill(200));
    }
    expect(await refusedOf(rig, 2_000, 5)).toEqual([]);
  });

  it('a digest that is another one: those fail, and nothing else does', async () => {
    await using rig = await BlameRig.start();
    const wrong = [0, 1, 2].map((index) => [`wrong/${index}`, publish(rig, `wrong/${index}`)] as const);
    const lie = headers({ 'Docker-Content-Digest': `sha256:${'0'.repeat(64)}` });
    rig.registry.on({ where: ({ repository }) => repository.startsWith('wrong/') }, lie);
    const got: Got[] = [];
    for (const [repository] of wrong)
      got.push(await rig.until(rig.ask({ what: 'manifest', name: `${repository}:v1`, client: other })));
    expectOwnReason(got, /digest|sha256|mismatch/);
    expect(await refusedOf(rig, 2_000, 5)).toEqual([]);
  });
});
