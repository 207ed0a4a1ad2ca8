import { describe, expect, it } from 'vitest';
import { Bandwidth } from '../../../src/upstream/limits/bandwidth.ts';
import { FakeClock } from '../../support/fake-clock.ts';

const never = new AbortController().signal;

describe('bandwidth', () => {
  it('lets the first bytes through at once, and later ones when those before them are paid for', async () => {
    const clock = new FakeClock();
    const bandwidth = new Bandwidth(1000, clock);
    const passed: string[] = [];
    const take = (name: string, bytes: number): Promise<unknown> =>
      bandwidth.take(bytes, never).then(() => passed.push(name));
    const all = Promise.all([take('a', 500), take('b', 1000), take('c', 1)]);
    await clock.advance(0);
    expect(passed).toEqual(['a']);
    await clock.advance(499);
    expect(passed).toEqual(['a']);
    await clock.advance(1);
    expect(passed).toEqual(['a', 'b']);
    await clock.advance(1000);
    expect(passed).toEqual(['a', 'b', 'c']);
    await all;
  });

  it('does not save up what was not used', async () => {
    const clock = new FakeClock();
    const bandwidth = new Bandwidth(1000, clock);
    await clock.advance(1_000_000);
    await bandwidth.take(1000, never);
    let hasPassed = false;
    const second = bandwidth.take(1, never).then(() => (hasPassed = true));
    await clock.advance(999);
    expect(hasPassed).toBe(false);
    await clock.advance(1);
    await second;
  });

  it('ends a wait with the reason of the signal', async () => {
    const clock = new FakeClock();
    const bandwidth = new Bandwidth(1, clock);
    await bandwidth.take(1000, never);
    const control = new AbortController();
    const waiting = bandwidth.take(1, control.signal);
    control.abort(new Error('no longer'));
    await expect(waiting).rejects.toThrow('no longer');
    expect(clock.pending).toBe(0);
  });

  it('goes round among flows, however many connections each has', async () => {
    const clock = new FakeClock();
    const bandwidth = new Bandwidth(1000, clock);
    const passed = new Map([
      ['many', 0],
      ['one', 0],
      ['low', 0],
    ]);
    const control = new AbortController();
    const run = async (name: string, weight: number): Promise<void> => {
      for (;;) {
        await bandwidth.take(10, control.signal, { name, weight });
        passed.set(name, (passed.get(name) ?? 0) + 10);
      }
    };
    const connections = [...Array<string>(8).fill('many'), 'one', ...Array<string>(3).fill('low')];
    const all = connections.map((name) => run(name, name === 'low' ? 0.25 : 1).catch(() => undefined));
    await clock.advance(9000);
    control.abort(new Error('enough'));
    await Promise.all(all);
    const [many = 0, one = 0, low = 0] = passed.values();
    expect(many + one + low).toBeGreaterThanOrEqual(9000);
    expect(Math.abs(many - 4000)).toBeLessThanOrEqual(100);
    expect(Math.abs(one - 4000)).toBeLessThanOrEqual(100);
    expect(Math.abs(low - 1000)).toBeLessThanOrEqual(100);
    expect(clock.pending).toBe(0);
  });
});
