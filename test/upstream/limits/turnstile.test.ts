import { describe, expect, it } from 'vitest';
import { PacedGate } from '../../../src/upstream/limits/gate.ts';
import { Turnstile, type Waiting } from '../../../src/upstream/limits/turnstile.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { never } from '../support/clients.ts';

/** A turnstile before one gate that lets one pass each second while it is on, and who passed it, in order. */
function rig() {
  const clock = new FakeClock();
  const state = { isOn: true };
  const gate = new PacedGate(
    1_000,
    () => clock.monotonic(),
    () => state.isOn,
  );
  const turnstile = new Turnstile(clock);
  const passed: string[] = [];
  const refused: string[] = [];
  const come = (name: string, over: Partial<Waiting> = {}, signal: AbortSignal = never): Promise<void> =>
    turnstile
      .pass(
        {
          gates: [gate],
          client: name,
          failedAtMs: () => undefined,
          endsAtMs: clock.monotonic() + 60_000,
          late: () => new Error('late'),
          refusal: () => undefined,
          ...over,
        },
        signal,
      )
      .then(
        () => void passed.push(name),
        (error: unknown) => void refused.push(`${name} ${error instanceof Error ? error.message : ''}`),
      );
  /** Somebody has just passed, so that all who come now wait. */
  const close = async (): Promise<void> => {
    await come('first');
    passed.length = 0;
  };
  return { clock, state, gate, turnstile, passed, refused, come, close };
}

describe('a turnstile', () => {
  it('holds nobody back whose gates are open', async () => {
    const { come, passed, turnstile, state, clock } = rig();
    state.isOn = false;
    for (const name of ['a', 'b', 'c']) await come(name);
    expect([passed, turnstile.waiting, clock.pending]).toEqual([['a', 'b', 'c'], 0, 0]);
  });

  it('lets one pass at a time, at the pace of its gate', async () => {
    const { come, passed, close, clock } = rig();
    await close();
    for (const name of ['a', 'b', 'c']) void come(name);
    for (const count of [0, 1, 2, 3]) {
      expect(passed).toHaveLength(count);
      await clock.advance(1_000);
    }
    expect([passed, clock.pending]).toEqual([['a', 'b', 'c'], 0]);
  });

  it('waits for the last of several gates', async () => {
    const { come, passed, gate, clock } = rig();
    const slow = { opensAtMs: 5_000, passed: () => undefined };
    void come('a', { gates: [gate, slow] });
    await clock.advance(4_999);
    expect(passed).toEqual([]);
    await clock.advance(1);
    expect(passed).toEqual(['a']);
  });

  it('lets those pass first that have not failed, then the one whose failure is oldest', async () => {
    const { come, passed, close, clock } = rig();
    await close();
    void come('failed late', { client: 'one', failedAtMs: () => 20 });
    void come('failed early', { client: 'two', failedAtMs: () => 10 });
    void come('new', { client: 'three' });
    await clock.advance(3_000);
    expect(passed).toEqual(['new', 'failed early', 'failed late']);
  });

  it('goes round among client addresses', async () => {
    const { come, passed, close, clock } = rig();
    await close();
    for (let i = 0; i < 3; i++) void come(`greedy ${i}`, { client: 'greedy' });
    for (let i = 0; i < 2; i++) void come(`modest ${i}`, { client: 'modest' });
    await clock.advance(5_000);
    expect(passed).toEqual(['greedy 0', 'modest 0', 'greedy 1', 'modest 1', 'greedy 2']);
  });

  it('looks at failures when somebody may pass, not when he came', async () => {
    const { come, passed, close, clock } = rig();
    await close();
    const failed: { atMs?: number } = {};
    void come('a', { failedAtMs: () => failed.atMs });
    void come('b');
    failed.atMs = 1;
    await clock.advance(2_000);
    expect(passed).toEqual(['b', 'a']);
  });

  it('tells who has waited too long, and who need not wait any longer', async () => {
    const { come, refused, passed, close, clock, turnstile, gate } = rig();
    await close();
    const known: { error?: Error } = {};
    const closed = { opensAtMs: Infinity, passed: () => undefined };
    void come('late', { gates: [closed], endsAtMs: 3_000 });
    void come('known', { gates: [closed], refusal: () => known.error });
    void come('patient', { gates: [gate] });
    await clock.advance(3_000);
    expect([refused, passed]).toEqual([['late late'], ['patient']]);
    known.error = new Error('failed meanwhile');
    turnstile.wake();
    await clock.advance(0);
    expect([refused, turnstile.waiting]).toEqual([['late late', 'known failed meanwhile'], 0]);
  });

  it('lets go who leaves, and whoever stood behind', async () => {
    const { come, refused, passed, close, clock, turnstile } = rig();
    await close();
    const control = new AbortController();
    void come('leaver', {}, control.signal);
    void come('next');
    control.abort(new Error('left'));
    await clock.advance(1_000);
    expect([refused, passed, turnstile.waiting]).toEqual([['leaver left'], ['next'], 0]);
    await come('gone', { gates: [{ opensAtMs: Infinity, passed: () => undefined }] }, control.signal);
    expect(refused).toEqual(['leaver left', 'gone left']);
  });

  it('opens for all who wait when its gate is off', async () => {
    const { come, passed, close, clock, state, turnstile } = rig();
    await close();
    for (let i = 0; i < 500; i++) void come(`${i}`);
    state.isOn = false;
    turnstile.wake();
    await clock.advance(0);
    expect([passed.length, turnstile.waiting, clock.pending]).toEqual([500, 0, 0]);
  });

  it('holds 1,000; beyond it the last of the address that has most is refused, or who would be that', async () => {
    const { come, refused, close, clock, turnstile } = rig();
    await close();
    for (let i = 0; i < 999; i++) void come(`greedy ${i}`, { client: 'greedy' });
    void come('modest 0', { client: 'modest' });
    await clock.advance(0);
    expect([turnstile.waiting, refused]).toEqual([1_000, []]);
    await come('greedy 999', { client: 'greedy' });
    expect(refused).toEqual(['greedy 999 late']);
    void come('modest 1', { client: 'modest' });
    await clock.advance(0);
    expect([turnstile.waiting, refused]).toEqual([1_000, ['greedy 999 late', 'greedy 998 late']]);
  });
});
