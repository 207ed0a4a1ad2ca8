import { describe, expect, it } from 'vitest';
import { Bandwidth } from '../../src/upstream/bandwidth.ts';
import { FakeClock } from '../support/fake-clock.ts';

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
});
