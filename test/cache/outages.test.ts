/** Every way in which an upstream can be away, times everything that is asked for while it is. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Outcome } from '../../src/headers/cache-status.ts';
import type { UpstreamErrorKind } from '../../src/upstream/contract/errors.ts';
import { Gate } from '../support/gate.ts';
import { FakeUpstream, imageManifest } from './support/fake-upstream.ts';
import { PolicyRig, tag } from './support/policy-rig.ts';

const image = imageManifest('image');
const signature = { mediaType: image.mediaType, digest: imageManifest('signature').digest, size: 7 };
const day = 86_400_000;

const kinds: readonly UpstreamErrorKind[] = [
  'credentialRefused',
  'rateLimited',
  'unreachable',
  'tls',
  'timeout',
  'serverError',
  'badResponse',
  'tooLarge',
  'redirectRefused',
  'breakerOpen',
  'offline',
  'cut',
];

interface Outage {
  readonly label: string;
  readonly begin: (upstream: FakeUpstream) => void;
  /** What a client without a cached answer gets; undefined where it would wait. */
  readonly kind: string | undefined;
}

const outages: readonly Outage[] = [
  ...kinds.map((kind) => ({ label: kind, kind, begin: (upstream: FakeUpstream) => void (upstream.mood = kind) })),
  { label: 'hangs', kind: undefined, begin: (upstream) => void (upstream.gate = new Gate()) },
  {
    label: 'garbage',
    kind: 'mismatch',
    begin: (upstream) => {
      // A captive portal: HTML with status 200 for everything.
      upstream.headLacks.add('digest');
      upstream.wrongBytes = new TextEncoder().encode('<html>log in first</html>');
      upstream.tagsBody = '<html>log in first</html>';
      upstream.referrersBody = '<html>log in first</html>';
    },
  },
];

let upstream: FakeUpstream;
let rig: PolicyRig;
/** Each test has its own. */
let repo: string;
let name: string;
let tests = 0;

beforeAll(() => {
  upstream = new FakeUpstream();
  rig = new PolicyRig([upstream]);
});
afterAll(() => {
  rig[Symbol.dispose]();
});

beforeEach(async () => {
  repo = `library/r${++tests}`;
  name = `${repo}:3.20`;
  upstream.push(repo, image, '3.20');
  upstream.repository(repo).referrers.set(image.digest, [[signature]]);
  await rig.get(name);
  await rig.tags(repo);
  await rig.referrers(repo, image.digest);
  upstream.takeCalls();
});
afterEach(async () => {
  endOutage();
  // What hung comes to its end before the next test.
  await rig.clock.advance(0);
  expect(upstream.running).toBe(0);
});

function endOutage(): void {
  upstream.mood = undefined;
  upstream.gate?.open();
  upstream.gate = undefined;
  upstream.wrongBytes = undefined;
  upstream.tagsBody = undefined;
  upstream.referrersBody = undefined;
  upstream.headLacks.clear();
}

/** Gives the stale answer its two seconds. */
async function waited<T>(answer: Promise<T>): Promise<T> {
  await rig.clock.advance(2_000);
  return answer;
}

it('there are fourteen outages', () => {
  expect(new Set(outages.map(({ label }) => label)).size).toBe(14);
});

describe.each(outages)('while the upstream is away ($label)', ({ label, begin, kind }) => {
  const marked = label === 'offline' ? 'offline' : 'stale';
  const expectStale = (outcome: Outcome): void => {
    expect(outcome).toMatchObject({ kind: 'hit', detail: marked });
    expect(outcome.ttlSeconds).toBeLessThan(0);
  };

  it('a digest needs no contact, today and in ten years, after a restart too', async () => {
    begin(upstream);
    for (const ms of [0, 3650 * day]) {
      await rig.clock.advance(ms);
      rig.restart();
      const answer = await rig.get(`${repo}@${image.digest}`);
      expect(answer).toMatchObject({ digest: image.digest, outcome: { kind: 'hit' } });
      expect((await rig.head(`${repo}@${image.digest}`)).outcome).toEqual({ kind: 'hit' });
    }
    expect(upstream.calls).toEqual([]);
  });

  it('a fresh tag is a plain hit', async () => {
    begin(upstream);
    expect((await rig.get(name)).outcome).toEqual({ kind: 'hit', ttlSeconds: 60 });
    expect(upstream.calls).toEqual([]);
  });

  it('an expired tag is served stale, to GET and to HEAD, after a restart too', async () => {
    await rig.clock.advance(29 * day);
    begin(upstream);
    expectStale((await waited(rig.get(name))).outcome);
    expectStale((await waited(rig.head(name))).outcome);
    rig.restart();
    expectStale((await waited(rig.get(name))).outcome);
  });

  it('an expired tag costs one question, and the next clients none for five seconds', async () => {
    await rig.clock.advance(60_000);
    begin(upstream);
    await waited(rig.get(name));
    const asked = upstream.takeCalls().length;
    expect(asked).toBeGreaterThan(0);
    // At once: nobody turns the clock here.
    for (let i = 0; i < 50; i++) expectStale((await rig.get(name)).outcome);
    expect(upstream.takeCalls()).toEqual([]);
  });

  it('a tag is not served beyond its allowance, except offline', async () => {
    await rig.clock.advance(30 * day + 60_001);
    begin(upstream);
    if (label === 'offline') expectStale((await rig.get(name)).outcome);
    else if (kind !== undefined) await expect(rig.get(name)).rejects.toMatchObject({ kind });
    else {
      const client = new AbortController();
      const waiting = rig.get(name, { signal: client.signal });
      await rig.clock.advance(60_000);
      client.abort(new Error('still waiting'));
      await expect(waiting).rejects.toThrow('still waiting');
    }
  });

  it('a tag that was never pulled is an error', async () => {
    begin(upstream);
    if (kind === undefined) return;
    upstream.push(repo, imageManifest('never'), 'never');
    await expect(rig.get(`${repo}:never`)).rejects.toMatchObject({ kind });
  });

  it('tags/list is fresh for 30 s, then stale', async () => {
    begin(upstream);
    expect(await rig.tags(repo)).toMatchObject({ tags: [tag('3.20')], outcome: { kind: 'hit' } });
    expect(upstream.calls).toEqual([]);
    await rig.clock.advance(30_000);
    const answer = await waited(rig.tags(repo));
    expect(answer.tags).toEqual([tag('3.20')]);
    expectStale(answer.outcome);
  });

  it('referrers are fresh for 30 s, then stale, after a restart too', async () => {
    begin(upstream);
    expect(await rig.referrers(repo, image.digest)).toMatchObject({ manifests: [signature], outcome: { kind: 'hit' } });
    expect(upstream.calls).toEqual([]);
    await rig.clock.advance(30_000);
    for (let i = 0; i < 2; i++) {
      const answer = await waited(rig.referrers(repo, image.digest));
      expect(answer.manifests).toEqual([signature]);
      expectStale(answer.outcome);
      rig.restart();
    }
  });

  it('referrers that were never fetched are an error, never an empty list', async () => {
    begin(upstream);
    if (kind === undefined) return;
    const { digest } = imageManifest('other');
    const expected = kind === 'mismatch' ? 'badResponse' : kind;
    await expect(rig.referrers(repo, digest)).rejects.toMatchObject({ name: 'UpstreamError', kind: expected });
  });

  it('everything is asked for again when it is back', async () => {
    await rig.clock.advance(60_000);
    begin(upstream);
    await waited(rig.get(name));
    endOutage();
    upstream.push(repo, imageManifest('after'), '3.20');
    await rig.clock.advance(60_000);
    expect((await rig.get(name)).digest).toBe(imageManifest('after').digest);
  });
});
