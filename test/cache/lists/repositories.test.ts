import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FakeUpstream, imageManifest } from '../support/fake-upstream.ts';
import { PolicyRig } from '../support/policy-rig.ts';
import { RepositoryLists } from '../../../src/cache/lists/repositories.ts';
import { byAnybody } from '../../../src/store/contract/origin.ts';

const all = { upstream: undefined, n: undefined, last: undefined };

let hub: FakeUpstream;
let ghcr: FakeUpstream;
let rig: PolicyRig;

beforeEach(async () => {
  hub = new FakeUpstream('docker.io');
  ghcr = new FakeUpstream('ghcr.io');
  ghcr.hasCredential = true;
  rig = new PolicyRig([ghcr, hub]);
  for (const name of ['library/b', 'library/a', 'team/a']) {
    hub.push(name, imageManifest(name), '1');
    ghcr.push(name, imageManifest(name), '1');
    await rig.get(`${name}:1`, { upstream: 'docker.io' });
  }
  await rig.get('team/a:1', { upstream: 'ghcr.io' });
});
afterEach(() => {
  rig[Symbol.dispose]();
});

describe('_catalog', () => {
  it('lists what is cached, with its upstream, sorted', async () => {
    expect(await rig.repositories(all)).toEqual({
      repositories: ['docker.io/library/a', 'docker.io/library/b', 'docker.io/team/a', 'ghcr.io/team/a'],
      next: undefined,
    });
  });

  it('lists the repositories of one upstream under their own names', async () => {
    expect((await rig.repositories({ ...all, upstream: 'docker.io' })).repositories).toEqual([
      'library/a',
      'library/b',
      'team/a',
    ]);
    expect((await rig.repositories({ ...all, upstream: 'unknown' })).repositories).toEqual([]);
  });

  it('asks nobody', async () => {
    hub.takeCalls();
    ghcr.takeCalls();
    await rig.repositories(all);
    expect([hub.calls, ghcr.calls]).toEqual([[], []]);
  });

  it('leaves out what came by a credential alone', async () => {
    ghcr.repository('library/a').isPublic = false;
    await expect(rig.get('library/a:1', { upstream: 'ghcr.io' })).rejects.toMatchObject({ kind: 'denied' });
    const ours = { origin: { kind: 'credential', place: ghcr.place } } as const;
    rig.metadata.links.add(rig.key('library/a', 'ghcr.io'), imageManifest('x').digest, 'manifest', ours);
    expect((await rig.repositories({ ...all, upstream: 'ghcr.io' })).repositories).toEqual(['team/a']);
    const policy = rig.policies.get('ghcr.io');
    if (policy !== undefined) rig.policies.set('ghcr.io', { ...policy, access: 'all' });
    expect((await rig.repositories({ ...all, upstream: 'ghcr.io' })).repositories).toEqual(['library/a', 'team/a']);
  });

  it('leaves out what belongs to an upstream that is not configured any more', async () => {
    rig.policies.delete('docker.io');
    expect((await rig.repositories(all)).repositories).toEqual(['ghcr.io/team/a']);
  });

  it('gives each name once, page by page, and ends', async () => {
    const { repositories } = await rig.repositories(all);
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 6 }), async (n) => {
        const seen: string[] = [];
        let last: string | undefined;
        for (let pages = 0; pages < 10; pages++) {
          const page = await rig.repositories({ ...all, n, last });
          expect(page.repositories.length).toBeLessThanOrEqual(n);
          seen.push(...page.repositories);
          last = page.next?.last;
          if (last === undefined) break;
        }
        expect(seen).toEqual(repositories);
      }),
    );
  });

  it('is in the order of the whole names, also where one upstream begins like another', async () => {
    for (const key of ['a', 'a-b', 'a.b', 'a0']) {
      const policy = rig.policies.get('docker.io');
      if (policy !== undefined) rig.policies.set(key, { ...policy, upstream: new FakeUpstream(key) });
      for (const name of ['x', 'z/y'])
        rig.metadata.links.add(rig.key(name, key), imageManifest('x').digest, 'manifest', { origin: byAnybody });
    }
    const seen: string[] = [];
    for (let last: string | undefined = ''; last !== undefined;) {
      const page = await rig.repositories({ ...all, n: 3, last });
      seen.push(...page.repositories);
      last = page.next?.last;
    }
    expect(seen).toHaveLength(12);
    expect(seen).toEqual(seen.toSorted((one, other) => (one < other ? -1 : 1)));
  });

  it('of nothing is empty and ends, and starts after a name that is not there', async () => {
    expect(await rig.repositories({ ...all, n: 0 })).toEqual({ repositories: [], next: undefined });
    expect((await rig.repositories({ ...all, last: 'docker.io/library/aa' })).repositories[0]).toBe(
      'docker.io/library/b',
    );
    expect(await rig.repositories({ ...all, last: 'zzz' })).toEqual({ repositories: [], next: undefined });
  });
});

describe('_catalog over very many that may not be told', () => {
  const many = 30_000;
  const query = { ...all, upstream: 'docker.io', n: 1 };
  const { signal } = new AbortController();

  /** Repositories that nobody may be told of, and behind them one that everybody may. */
  function listsOf(pause: () => Promise<unknown>): RepositoryLists & { readonly looked: () => number } {
    let looked = 0;
    const repositories = {
      *of(upstream: string) {
        for (let index = 0; index <= many; index++) {
          looked++;
          const isPublic = index === many;
          yield { ...rig.key(isPublic ? 'open' : `private-${index}`, upstream), isPublic };
        }
      },
    };
    const lists = new RepositoryLists({ upstreams: rig.policies, metadata: { repositories } }, pause);
    return Object.assign(lists, { looked: () => looked });
  }

  it('gives others a turn after each few hundred', async () => {
    const between: number[] = [];
    const lists = listsOf(() => {
      between.push(lists.looked());
      return Promise.resolve();
    });
    expect((await lists.list(query, signal)).repositories).toEqual(['open']);
    const steps = between.map((looked, index) => looked - (between[index - 1] ?? 0));
    expect(steps).toHaveLength(many / 200);
    expect(Math.max(...steps)).toBe(200);
  });

  it('makes one list at a time', async () => {
    let underWay = 0;
    const lists = listsOf(async () => {
      expect(++underWay).toBe(1);
      await Promise.resolve();
      underWay--;
    });
    const answers = await Promise.all([1, 2, 3].map(() => lists.list(query, signal)));
    expect(answers.map(({ repositories }) => repositories)).toEqual([['open'], ['open'], ['open']]);
  });

  it('looks no further when its client has left', async () => {
    const gone = new AbortController();
    const lists = listsOf(() => {
      gone.abort(new Error('left'));
      return Promise.resolve();
    });
    await expect(lists.list(query, gone.signal)).rejects.toThrow('left');
    expect(lists.looked()).toBe(200);
  });
});
