import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FakeUpstream, imageManifest } from './support/fake-upstream.ts';
import { PolicyRig } from './support/policy-rig.ts';
import { byAnybody } from '../../src/store/origin.ts';

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
  it('lists what is cached, with its upstream, sorted', () => {
    expect(rig.listings.catalog(all)).toEqual({
      repositories: ['docker.io/library/a', 'docker.io/library/b', 'docker.io/team/a', 'ghcr.io/team/a'],
      next: undefined,
    });
  });

  it('lists the repositories of one upstream under their own names', () => {
    expect(rig.listings.catalog({ ...all, upstream: 'docker.io' }).repositories).toEqual([
      'library/a',
      'library/b',
      'team/a',
    ]);
    expect(rig.listings.catalog({ ...all, upstream: 'unknown' }).repositories).toEqual([]);
  });

  it('asks nobody', () => {
    hub.takeCalls();
    ghcr.takeCalls();
    rig.listings.catalog(all);
    expect([hub.calls, ghcr.calls]).toEqual([[], []]);
  });

  it('leaves out what is not proven public, now or any more', async () => {
    ghcr.repository('library/a').isPublic = false;
    await expect(rig.get('library/a:1', { upstream: 'ghcr.io' })).rejects.toMatchObject({ kind: 'denied' });
    rig.catalog.addLink(rig.key('library/a', 'ghcr.io'), imageManifest('x').digest, 'manifest', { origin: byAnybody });
    expect(rig.listings.catalog({ ...all, upstream: 'ghcr.io' }).repositories).toEqual(['team/a']);
    await rig.clock.advance(3_600_000);
    expect(rig.listings.catalog({ ...all, upstream: 'ghcr.io' }).repositories).toEqual([]);
    expect(rig.listings.catalog({ ...all, upstream: 'docker.io' }).repositories).toHaveLength(3);
  });

  it('leaves out what belongs to an upstream that is not configured any more', () => {
    rig.policies.delete('docker.io');
    expect(rig.listings.catalog(all).repositories).toEqual(['ghcr.io/team/a']);
  });

  it('gives each name once, page by page, and ends', () => {
    const { repositories } = rig.listings.catalog(all);
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 6 }), (n) => {
        const seen: string[] = [];
        let last: string | undefined;
        for (let pages = 0; pages < 10; pages++) {
          const page = rig.listings.catalog({ ...all, n, last });
          expect(page.repositories.length).toBeLessThanOrEqual(n);
          seen.push(...page.repositories);
          last = page.next?.last;
          if (last === undefined) break;
        }
        expect(seen).toEqual(repositories);
      }),
    );
  });

  it('is in the order of the whole names, also where one upstream begins like another', () => {
    for (const key of ['a', 'a-b', 'a.b', 'a0']) {
      const policy = rig.policies.get('docker.io');
      if (policy !== undefined) rig.policies.set(key, { ...policy, upstream: new FakeUpstream(key) });
      for (const name of ['x', 'z/y'])
        rig.catalog.addLink(rig.key(name, key), imageManifest('x').digest, 'manifest', { origin: byAnybody });
    }
    const seen: string[] = [];
    for (let last: string | undefined = ''; last !== undefined;) {
      const page = rig.listings.catalog({ ...all, n: 3, last });
      seen.push(...page.repositories);
      last = page.next?.last;
    }
    expect(seen).toHaveLength(12);
    expect(seen).toEqual(seen.toSorted((one, other) => (one < other ? -1 : 1)));
  });

  it('of nothing is empty and ends, and starts after a name that is not there', () => {
    expect(rig.listings.catalog({ ...all, n: 0 })).toEqual({ repositories: [], next: undefined });
    expect(rig.listings.catalog({ ...all, last: 'docker.io/library/aa' }).repositories[0]).toBe('docker.io/library/b');
    expect(rig.listings.catalog({ ...all, last: 'zzz' })).toEqual({ repositories: [], next: undefined });
  });
});
