import { getEventListeners } from 'node:events';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { abortable } from '../../src/lib/abort.ts';
import { systemClock } from '../../src/lib/clock.ts';

afterEach(() => void vi.useRealTimers());

describe('system clock', () => {
  it('fires once, and not when cancelled', async () => {
    const fired: string[] = [];
    const cancelled = systemClock.setTimer(1, () => fired.push('cancelled'));
    cancelled.cancel();
    cancelled.cancel();
    await new Promise<void>((resolve) => {
      systemClock.setTimer(-5, () => {
        fired.push('fired');
        resolve();
      });
      expect(fired).toEqual([]);
    });
    await systemClock.sleep(5);
    expect(fired).toEqual(['fired']);
  });

  it('measures time that does not go back', async () => {
    const before = systemClock.monotonic();
    await systemClock.sleep(10);
    expect(systemClock.monotonic() - before).toBeGreaterThanOrEqual(9);
    expect(Math.abs(systemClock.now() - Date.now())).toBeLessThan(5000);
  });

  it('ends a sleep with the reason of its signal and leaves nothing behind', async () => {
    vi.useFakeTimers();
    const controller = new AbortController();
    const sleeping = systemClock.sleep(60_000, controller.signal);
    expect(vi.getTimerCount()).toBe(1);
    controller.abort(new Error('closing'));
    await expect(sleeping).rejects.toThrow('closing');
    expect(vi.getTimerCount()).toBe(0);
    await expect(systemClock.sleep(1, controller.signal)).rejects.toThrow('closing');
    expect(vi.getTimerCount()).toBe(0);
  });

  it('takes its listener off the signal when the sleep is over', async () => {
    const controller = new AbortController();
    await systemClock.sleep(1, controller.signal);
    expect(getEventListeners(controller.signal, 'abort')).toEqual([]);
  });

  it('waits for longer than the 24.8 days that fit into setTimeout', () => {
    vi.useFakeTimers();
    const day = 24 * 3600 * 1000;
    let fired = false;
    const timer = systemClock.setTimer(30 * day, () => {
      fired = true;
    });
    vi.advanceTimersByTime(30 * day - 1);
    expect(fired).toBe(false);
    vi.advanceTimersByTime(1);
    expect(fired).toBe(true);
    timer.cancel();
    const second = systemClock.setTimer(60 * day, () => expect.unreachable());
    vi.advanceTimersByTime(50 * day);
    second.cancel();
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe('abortable', () => {
  it('passes on the result or the failure', async () => {
    const { signal } = new AbortController();
    await expect(abortable(Promise.resolve(7), signal)).resolves.toBe(7);
    await expect(abortable(Promise.reject(new Error('no')), signal)).rejects.toThrow('no');
    expect(getEventListeners(signal, 'abort')).toEqual([]);
  });

  it('rejects at once when aborted, with an Error whatever the reason was', async () => {
    const controller = new AbortController();
    const never = new Promise<void>(() => undefined);
    const waiting = abortable(never, controller.signal);
    controller.abort('text');
    await expect(waiting).rejects.toMatchObject({ message: 'aborted', cause: 'text' });
    await expect(abortable(never, AbortSignal.abort(new Error('before')))).rejects.toThrow('before');
  });
});
