import { describe, expect, it } from 'vitest';
import { OriginHealth, type OriginPermit, type ProbeResult } from '../../../src/upstream/health/origin.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { failureOf, never } from '../support/clients.ts';

/** What weir's own question finds, and how often it went. */
function rig({ isStorage = false }: { isStorage?: boolean } = {}) {
  const clock = new FakeClock();
  const changes: boolean[] = [];
  const state = { probes: 0, result: 'answered' as ProbeResult, takesMs: 0 };
  const health = new OriginHealth({
    upstream: 'test',
    place: 'https://registry.test',
    clock,
    isStorage,
    probe: async () => {
      state.probes++;
      const { result } = state;
      const takesMs = result === 'silent' ? 8_000 : state.takesMs;
      if (takesMs > 0) await clock.sleep(takesMs);
      return result;
    },
    onChange: (isDown) => changes.push(isDown),
  });
  let objects = 0;
  const enter = (): Promise<OriginPermit> => health.enter(`object ${++objects}`, never);
  return { clock, changes, state, health, enter };
}

/** Some hours into the life of a process. */
async function inMidLife(options?: { isStorage?: boolean }): Promise<ReturnType<typeof rig>> {
  const lab = rig(options);
  (await lab.enter()).answered();
  await lab.clock.advance(3_600_000);
  return lab;
}

describe('an origin', () => {
  it('is down when no connection stands, and nobody is asked for 5 s', async () => {
    const { enter, health, changes, clock, state } = await inMidLife();
    (await enter()).failed(false);
    expect([health.isDown, changes]).toEqual([true, [true]]);
    expect(await failureOf(enter())).toMatchObject({ kind: 'breakerOpen', retryAfterMs: 5_000 });
    await clock.advance(4_999);
    expect((await failureOf(enter())).kind).toBe('breakerOpen');
    expect(state.probes).toBe(0);
  });

  it('is not down because a connection broke, however often', async () => {
    const { enter, health } = await inMidLife();
    for (let i = 0; i < 20; i++) (await enter()).failed(true);
    expect(health.isDown).toBe(false);
  });

  it('is not down when something was answered since the dial began', async () => {
    const { enter, health, clock } = await inMidLife();
    const dialled = await enter();
    await clock.advance(2_000);
    (await enter()).answered();
    await clock.advance(1_000);
    dialled.failed(false);
    expect(health.isDown).toBe(false);
  });

  it('that is silent to a question and then to weir itself is down, 16 s after it was asked', async () => {
    const { enter, health, clock, state } = await inMidLife();
    state.result = 'silent';
    await enter();
    await clock.advance(15_999);
    expect([health.isDown, state.probes]).toEqual([false, 1]);
    await clock.advance(1);
    expect(health.isDown).toBe(true);
  });

  it.each(['answered', 'other'] as const)(
    'that is late, but %s to weir itself, is slow and not down',
    async (result) => {
      const { enter, health, clock, state } = await inMidLife();
      state.result = result;
      for (let i = 0; i < 10; i++) await enter();
      await clock.advance(60_000);
      expect([health.isDown, state.probes > 0]).toEqual([false, true]);
    },
  );

  it('is not looked at when something was answered since the late question was sent', async () => {
    const { enter, clock, state } = await inMidLife();
    await enter();
    await clock.advance(7_000);
    (await enter()).answered();
    await clock.advance(30_000);
    expect(state.probes).toBe(0);
  });

  it('that is down is asked by weir after 5 s and each further 10 s, for the first who comes; the others are refused', async () => {
    const { enter, clock, state, health } = await inMidLife();
    (await enter()).failed(false);
    state.result = 'unreachable';
    const atMs: number[] = [];
    for (let second = 0; second < 60; second++) {
      await clock.advance(1_000);
      const before = state.probes;
      const all = [1, 2, 3].map(() => failureOf(enter()));
      await clock.advance(0);
      expect((await Promise.all(all)).map(({ kind }) => kind)).toEqual(Array(3).fill('breakerOpen'));
      if (state.probes > before) atMs.push(second + 1);
    }
    expect(atMs).toEqual([5, 15, 25, 35, 45, 55]);
    state.result = 'answered';
    await clock.advance(10_000);
    (await enter()).answered();
    expect(health.isDown).toBe(false);
  });

  it('after ten minutes of outage nobody waits longer than weir needs to look', async () => {
    const { enter, clock, state } = await inMidLife();
    (await enter()).failed(false);
    state.result = 'unreachable';
    for (let i = 0; i < 60; i++) {
      await clock.advance(10_000);
      await failureOf(enter());
    }
    state.result = 'answered';
    state.takesMs = 50;
    await clock.advance(10_000);
    const startMs = clock.monotonic();
    const entered = enter();
    await clock.advance(50);
    await entered;
    expect(clock.monotonic() - startMs).toBe(50);
  });

  it('is up with any answer, also one to a question from before', async () => {
    const { enter, health, changes } = await inMidLife();
    const early = await enter();
    (await enter()).failed(false);
    expect(health.isDown).toBe(true);
    early.answered();
    expect([health.isDown, changes]).toEqual([false, [true, false]]);
  });

  it('of storage is down when two objects are silent, not one; weir asks nothing there before that', async () => {
    const { enter, health, clock, state } = await inMidLife({ isStorage: true });
    await enter();
    await clock.advance(30_000);
    expect(health.isDown).toBe(false);
    await enter();
    await clock.advance(8_000);
    expect([health.isDown, state.probes]).toEqual([true, 0]);
  });
});

describe('at a start', () => {
  it('three are under way until anything is answered, weir itself among them', async () => {
    const { enter, clock, state } = rig();
    state.result = 'silent';
    const entered: OriginPermit[] = [];
    for (let i = 0; i < 6; i++) void enter().then((permit) => entered.push(permit));
    await clock.advance(0);
    expect(entered).toHaveLength(3);
    await clock.advance(1_000);
    expect(state.probes).toBe(1);
    entered[0]?.failed(true);
    await clock.advance(0);
    expect(entered).toHaveLength(3);
    entered[1]?.answered();
    await clock.advance(0);
    expect(entered).toHaveLength(6);
  });

  it('names that hang keep nobody from the others for more than a second', async () => {
    const { enter, clock } = rig();
    for (let i = 0; i < 6; i++) void enter();
    const healthy = enter();
    await clock.advance(1_000);
    (await healthy).answered();
    expect(clock.monotonic()).toBe(1_000);
  });

  it.each([
    ['refuses connections', 'unreachable', 0],
    ['is silent', 'silent', 9_000],
  ] as const)('an upstream that %s is down before more than three are sent', async (_, result, afterMs) => {
    const { enter, clock, state, health } = rig();
    state.result = result;
    const sent: OriginPermit[] = [];
    const refused: unknown[] = [];
    for (let i = 0; i < 1_000; i++)
      void enter().then(
        (permit) => sent.push(permit),
        (error: unknown) => refused.push(error),
      );
    await clock.advance(0);
    if (afterMs === 0) for (const permit of sent) permit.failed(false);
    await clock.advance(afterMs);
    expect(health.isDown).toBe(true);
    expect(sent.length + state.probes).toBeLessThanOrEqual(4);
    expect(refused).toHaveLength(1_000 - sent.length);
  });
});
