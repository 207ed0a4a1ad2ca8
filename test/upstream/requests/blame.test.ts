/** Who is blamed for what: whatever is sick, everything healthy is served. In simulated time. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { sickUpstream } from '../support/random-sickness.ts';
import { simulate, type Sickness, type Thing } from '../support/sick-upstream.ts';

function thing(over: Partial<Thing>): Thing {
  return {
    repository: 'a/a',
    kind: 'manifests',
    subject: '1',
    client: '10.0.0.1',
    sickness: undefined,
    atMs: 0,
    retryMs: 1_000,
    ...over,
  };
}

function many(count: number, over: (index: number) => Partial<Thing>): Thing[] {
  return Array.from({ length: count }, (_, index) => thing({ subject: `s${index}`, ...over(index) }));
}

describe('a random upstream', () => {
  it('in which a random part is sick has served everything healthy after 60 s', async () => {
    let healthy = 0;
    await fc.assert(
      fc.asyncProperty(sickUpstream, async (things) => {
        healthy += things.filter(({ sickness }) => sickness === undefined).length;
        expect((await simulate(things)).unserved).toEqual([]);
      }),
      { numRuns: 50 },
    );
    expect(healthy).toBeGreaterThan(50);
  });
});

const sicknesses: readonly Sickness[] = ['serverError', 'unreachable', 'badResponse', 'timeout'];

describe.each(sicknesses)('by name, when the sick answer with %s', (sickness) => {
  const cold = (atMs: number, over: Partial<Thing> = {}): Thing =>
    thing({ repository: `cold/${atMs}`, subject: 'cold', client: '10.0.0.9', atMs, ...over });
  const inAMinute = [1, 2, 3, 4, 5, 6].map((turn) => turn * 9_000);

  it.each([
    ['manifests', 'manifests'],
    ['blobs', 'manifests'],
    ['lists', 'manifests'],
    ['referrers', 'manifests'],
    ['manifests', 'blobs'],
    ['blobs', 'blobs'],
  ] as const)('one of %s that is polled each second refuses none of %s', async (sick, healthy) => {
    const things = [thing({ kind: sick, sickness }), ...inAMinute.map((atMs) => cold(atMs, { kind: healthy }))];
    expect((await simulate(things)).unserved).toEqual([]);
  });

  it('three of three repositories on a quiet cache refuse no other', async () => {
    const bad = many(3, (index) => ({ repository: `bad/${index}`, sickness }));
    expect((await simulate([...bad, ...inAMinute.map((atMs) => cold(atMs))])).unserved).toEqual([]);
  });

  it('three blobs beside healthy ones of the same repository refuse none of them', async () => {
    const bad = many(3, () => ({ kind: 'blobs', sickness }));
    const good = many(20, (index) => ({ kind: 'blobs', subject: `good ${index}`, atMs: 2_000, client: '10.0.0.9' }));
    expect((await simulate([...bad, ...good], 25_000)).unserved).toEqual([]);
  });

  it('a whole repository refuses no other', async () => {
    const bad = many(40, () => ({ repository: 'bad/all', sickness }));
    expect((await simulate([...bad, ...inAMinute.map((atMs) => cold(atMs))])).unserved).toEqual([]);
  });

  it('six names right after a start keep nobody for more than two seconds', async () => {
    const bad = many(6, (index) => ({ repository: `bad/${index}`, sickness }));
    expect((await simulate([...bad, cold(1)], 4_000)).unserved).toEqual([]);
  });

  it('a client that asks for a hundred sick names does not keep another from a healthy one', async () => {
    const bad = many(100, (index) => ({ repository: `bad/${index}`, sickness, retryMs: 500 }));
    expect((await simulate([...bad, ...inAMinute.map((atMs) => cold(atMs))])).unserved).toEqual([]);
  });
});

describe('an upstream that fails at everything', () => {
  it.each(['serverError', 'unreachable', 'badResponse'] as const)(
    'is asked at most twice a second, 1,000 clients or not (%s)',
    async (sickness) => {
      const things = many(1_000, (index) => ({ repository: `r/${index}`, sickness, atMs: index * 50, retryMs: 5_000 }));
      const { asked } = await simulate(things);
      expect(asked).toBeLessThanOrEqual(2 * 60 + 3);
      expect(asked).toBeGreaterThan(30);
    },
  );
});
