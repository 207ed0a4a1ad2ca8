import { describe, expect, it } from 'vitest';
import { MovingLane } from '../../src/lib/lane.ts';
import { Semaphore } from '../../src/lib/semaphore.ts';

describe('lanes of a semaphore', () => {
  it('are served in order: high, normal, low', async () => {
    const semaphore = new Semaphore(1);
    const order: string[] = [];
    const permit = await semaphore.acquire();
    const take = async (lane: 'high' | 'normal' | 'low'): Promise<void> => {
      using _ = await semaphore.acquire(lane);
      order.push(lane);
    };
    const all = [take('low'), take('normal'), take('low'), take('high'), take('normal')];
    permit[Symbol.dispose]();
    await Promise.all(all);
    expect(order).toEqual(['high', 'normal', 'normal', 'low', 'low']);
  });

  it('take along who waits in one that moves, and a place in the new one is that of the arrival', async () => {
    const semaphore = new Semaphore(1);
    const order: string[] = [];
    const permit = await semaphore.acquire();
    const moving = new MovingLane('low');
    const take = async (name: string, lane: MovingLane | 'normal' | 'low'): Promise<void> => {
      using _ = await semaphore.acquire(lane);
      order.push(name);
    };
    const all = [take('low', 'low'), take('moving', moving), take('normal', 'normal')];
    moving.moveTo('normal');
    permit[Symbol.dispose]();
    await Promise.all(all);
    expect(order).toEqual(['moving', 'normal', 'low']);
  });

  it('ask the latest holder in low to give way, one for each who waits above', async () => {
    const semaphore = new Semaphore(3);
    const asked: string[] = [];
    const hold = (name: string, lane: 'normal' | 'low') =>
      semaphore.acquire(lane, undefined, () => void asked.push(name));
    const [, first, second] = await Promise.all([
      hold('awaited', 'normal'),
      hold('first', 'low'),
      hold('second', 'low'),
    ]);
    const alsoLow = semaphore.acquire('low');
    expect(asked).toEqual([]);
    const one = semaphore.acquire('normal');
    expect(asked).toEqual(['second']);
    const two = semaphore.acquire('high');
    expect(asked).toEqual(['second', 'first']);
    const three = semaphore.acquire('normal');
    expect(asked).toEqual(['second', 'first']);
    second[Symbol.dispose]();
    first[Symbol.dispose]();
    (await two)[Symbol.dispose]();
    (await one)[Symbol.dispose]();
    (await three)[Symbol.dispose]();
    (await alsoLow)[Symbol.dispose]();
    expect([semaphore.active, semaphore.waiting]).toEqual([1, 0]);
  });

  it('leave a holder alone whose lane has moved up, and ask for one when a waiter’s does', async () => {
    const semaphore = new Semaphore(2);
    const asked: string[] = [];
    const joined = new MovingLane('low');
    await semaphore.acquire('low', undefined, () => void asked.push('low'));
    await semaphore.acquire(joined, undefined, () => void asked.push('joined'));
    joined.moveTo('normal');
    const waiting = new MovingLane('low');
    const control = new AbortController();
    const waiter = semaphore.acquire(waiting, control.signal);
    expect(asked).toEqual([]);
    waiting.moveTo('normal');
    expect(asked).toEqual(['low']);
    control.abort(new Error('left'));
    await expect(waiter).rejects.toThrow('left');
    waiting.moveTo('low');
    waiting.moveTo('high');
    expect([asked, semaphore.waiting]).toEqual([['low'], 0]);
  });
});
