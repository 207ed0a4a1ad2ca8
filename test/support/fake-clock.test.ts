import { describe, expect, it } from 'vitest';
import { FakeClock } from './fake-clock.ts';

describe('fake clock', () => {
  it('fires timers and sleeps in the order of their time', async () => {
    const clock = new FakeClock(1000);
    const seen: string[] = [];
    clock.setTimer(20, () => seen.push(`b ${clock.now()} ${clock.monotonic()}`));
    clock.setTimer(10, () => seen.push(`a ${clock.now()} ${clock.monotonic()}`));
    clock.setTimer(20, () => seen.push('c'));
    const slept = clock.sleep(25).then(() => seen.push('slept'));
    await clock.advance(24);
    expect(seen).toEqual(['a 1010 10', 'b 1020 20', 'c']);
    await clock.advance(1);
    await slept;
    expect(seen.at(-1)).toBe('slept');
    expect(clock.pending).toBe(0);
  });

  it('fires what a timer arms, inside the same advance', async () => {
    const clock = new FakeClock();
    let count = 0;
    const again = async (): Promise<void> => {
      await clock.sleep(10);
      count++;
      if (count < 5) await again();
    };
    const done = again();
    await clock.advance(49);
    expect(count).toBe(4);
    await clock.advance(1);
    await done;
    expect(count).toBe(5);
  });

  it('forgets what is cancelled or aborted', async () => {
    const clock = new FakeClock();
    const timer = clock.setTimer(5, () => expect.unreachable());
    const controller = new AbortController();
    const sleeping = clock.sleep(5, controller.signal);
    timer.cancel();
    controller.abort(new Error('stop'));
    await expect(sleeping).rejects.toThrow('stop');
    expect(clock.pending).toBe(0);
    await clock.advance(10);
  });

  it('keeps the wall time apart from the elapsed time', async () => {
    const clock = new FakeClock(5000);
    clock.setWallTime(10);
    await clock.advance(7);
    expect([clock.now(), clock.monotonic()]).toEqual([17, 7]);
  });
});
