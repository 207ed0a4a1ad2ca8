import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FakeUpstream, imageManifest } from '../support/fake-upstream.ts';
import { PolicyRig } from '../support/policy-rig.ts';

const name = 'library/alpine:3.20';
const repo = 'library/alpine';
const old = imageManifest('old');
const moved = imageManifest('moved');
const tenYears = 10 * 365 * 86_400_000;

function cached(): { upstream: FakeUpstream; rig: PolicyRig } {
  const upstream = new FakeUpstream();
  upstream.push(repo, old, '3.20');
  return { upstream, rig: new PolicyRig([upstream]) };
}

describe.each([
  ['forward', tenYears],
  ['back', -tenYears],
])('a wall clock that jumps ten years %s', (_direction, jump) => {
  it('pins no tag: its time runs on', async () => {
    const { upstream, rig } = cached();
    using _ = rig;
    await rig.get(name);
    rig.clock.setWallTime(rig.clock.now() + jump);
    upstream.push(repo, moved, '3.20');
    await rig.clock.advance(60_000);
    expect((await rig.get(name)).digest).toBe(moved.digest);
  });

  it('pins no tag across a restart either', async () => {
    const { upstream, rig } = cached();
    using _ = rig;
    await rig.get(name);
    rig.clock.setWallTime(rig.clock.now() + jump);
    rig.restart();
    upstream.push(repo, moved, '3.20');
    expect((await rig.get(name)).digest).toBe(moved.digest);
    upstream.takeCalls();
    expect((await rig.get(name)).outcome.kind).toBe('hit');
    expect(upstream.takeCalls()).toEqual([]);
  });

  it('neither pins nor loses lists', async () => {
    const { upstream, rig } = cached();
    using _ = rig;
    await rig.tags(repo);
    await rig.referrers(repo, old.digest);
    rig.clock.setWallTime(rig.clock.now() + jump);
    await rig.clock.advance(30_000);
    upstream.takeCalls();
    await rig.tags(repo);
    await rig.referrers(repo, old.digest);
    expect(upstream.takeCalls()).toHaveLength(2);
    rig.clock.setWallTime(rig.clock.now() + jump);
    await rig.clock.advance(30_000);
    upstream.mood = 'unreachable';
    expect((await rig.tags(repo)).outcome).toMatchObject({ detail: 'stale' });
    expect((await rig.referrers(repo, old.digest)).outcome).toMatchObject({ detail: 'stale' });
  });

  it('loses no tag: an outage is bridged as before, for as long as before', async () => {
    const { upstream, rig } = cached();
    using _ = rig;
    await rig.get(name);
    rig.clock.setWallTime(rig.clock.now() + jump);
    await rig.clock.advance(60_000);
    upstream.mood = 'unreachable';
    const answer = await rig.get(name);
    expect(answer).toMatchObject({ digest: old.digest, outcome: { kind: 'hit', detail: 'stale' } });
    expect(answer.outcome.ttlSeconds).toBeGreaterThan(-60);
    await rig.clock.advance(30 * 86_400_000 + 1);
    await expect(rig.get(name)).rejects.toMatchObject({ kind: 'unreachable' });
  });
});

describe('a clock that was set back across a restart', () => {
  it('loses no tag during an outage', async () => {
    const { upstream, rig } = cached();
    using _ = rig;
    await rig.get(name);
    rig.clock.setWallTime(rig.clock.now() - tenYears);
    rig.restart();
    upstream.mood = 'unreachable';
    expect((await rig.get(name)).digest).toBe(old.digest);
  });
});

describe('whatever the wall clock does while weir runs', () => {
  it('a tag is never older than its time when the upstream answers, and is never lost when it does not', async () => {
    const step = fc.record({
      passMs: fc.integer({ min: 0, max: 90_000 }),
      jumpMs: fc.integer({ min: -1e12, max: 1e12 }),
    });
    const { upstream, rig } = cached();
    using _ = rig;
    let runs = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 8 }), fc.boolean(), async (steps, isOut) => {
        const own = `library/r${++runs}:3.20`;
        upstream.mood = undefined;
        upstream.push(`library/r${runs}`, old, '3.20');
        await rig.get(own);
        let sinceMs = 0;
        for (const { passMs, jumpMs } of steps) {
          await rig.clock.advance(passMs);
          sinceMs += passMs;
          rig.clock.setWallTime(Math.max(0, rig.clock.now() + jumpMs));
        }
        upstream.takeCalls();
        if (isOut) upstream.mood = 'timeout';
        expect((await rig.head(own)).digest).toBe(old.digest);
        if (sinceMs >= 60_000) expect(upstream.calls).toEqual([`HEAD ${own}`]);
      }),
      { numRuns: 200 },
    );
  });
});
