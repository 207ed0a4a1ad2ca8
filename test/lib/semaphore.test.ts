import { getEventListeners } from 'node:events';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Semaphore } from '../../src/lib/semaphore.ts';

describe('semaphore', () => {
  it('gives out its limit and queues the rest in order', async () => {
    const semaphore = new Semaphore(2);
    const order: number[] = [];
    const first = await semaphore.acquire();
    const second = await semaphore.acquire();
    const waiting = [1, 2, 3].map((n) => semaphore.acquire().then((permit) => ({ n: order.push(n), permit })));
    expect([semaphore.active, semaphore.waiting]).toEqual([2, 3]);
    first[Symbol.dispose]();
    (await waiting[0])?.permit[Symbol.dispose]();
    await waiting[1];
    second[Symbol.dispose]();
    await waiting[2];
    expect(order).toEqual([1, 2, 3]);
    expect([semaphore.active, semaphore.waiting]).toEqual([2, 0]);
  });

  it('serves what is high first', async () => {
    const semaphore = new Semaphore(1);
    const order: string[] = [];
    const permit = await semaphore.acquire();
    const take = async (name: string, priority: 'high' | 'normal'): Promise<void> => {
      using _ = await semaphore.acquire(priority);
      order.push(name);
    };
    const all = [take('n1', 'normal'), take('h1', 'high'), take('n2', 'normal'), take('h2', 'high')];
    permit[Symbol.dispose]();
    await Promise.all(all);
    expect(order).toEqual(['h1', 'h2', 'n1', 'n2']);
  });

  it('gives a permit back once, however often it is disposed', async () => {
    const semaphore = new Semaphore(1);
    const permit = await semaphore.acquire();
    permit[Symbol.dispose]();
    permit[Symbol.dispose]();
    expect(semaphore.active).toBe(0);
    expect(semaphore.tryAcquire()).toBeDefined();
    expect(semaphore.tryAcquire()).toBeUndefined();
  });

  it('lets nobody overtake the one whom a permit is handed to', async () => {
    const semaphore = new Semaphore(1);
    const permit = await semaphore.acquire();
    const waiting = semaphore.acquire();
    permit[Symbol.dispose]();
    expect(semaphore.tryAcquire()).toBeUndefined();
    (await waiting)[Symbol.dispose]();
    expect(semaphore.active).toBe(0);
  });

  it('drops an aborted waiter, and not the permit of one who was served', async () => {
    const semaphore = new Semaphore(1);
    const permit = await semaphore.acquire();
    const controller = new AbortController();
    const aborted = semaphore.acquire('normal', controller.signal);
    const patient = semaphore.acquire();
    controller.abort(new Error('left'));
    await expect(aborted).rejects.toThrow('left');
    await expect(semaphore.acquire('high', controller.signal)).rejects.toThrow('left');
    permit[Symbol.dispose]();
    (await patient)[Symbol.dispose]();
    const late = new AbortController();
    const held = await semaphore.acquire('normal', late.signal);
    late.abort();
    expect(semaphore.active).toBe(1);
    held[Symbol.dispose]();
    expect([semaphore.active, semaphore.waiting]).toEqual([0, 0]);
  });

  it('leaves no listener on the signal of one who waited', async () => {
    const semaphore = new Semaphore(1);
    const permit = await semaphore.acquire();
    const { signal } = new AbortController();
    const waiting = semaphore.acquire('normal', signal);
    permit[Symbol.dispose]();
    await waiting;
    expect(getEventListeners(signal, 'abort')).toEqual([]);
  });

  it('refuses a limit that would block everybody', () => {
    for (const limit of [0, -1, 1.5, Number.NaN]) expect(() => new Semaphore(limit)).toThrow(RangeError);
  });

  it('never exceeds its limit and loses no permit, whatever is aborted when', async () => {
    let waited = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 3 }),
        fc.array(fc.record({ high: fc.boolean(), abort: fc.boolean(), turns: fc.nat(3) }), { maxLength: 12 }),
        async (limit, plans) => {
          const semaphore = new Semaphore(limit);
          let inside = 0;
          const run = async (plan: (typeof plans)[number]): Promise<void> => {
            const controller = new AbortController();
            const acquiring = semaphore.acquire(plan.high ? 'high' : 'normal', controller.signal);
            waited += semaphore.waiting > 0 ? 1 : 0;
            if (plan.abort) controller.abort(new Error('abort'));
            try {
              using _ = await acquiring;
              inside++;
              expect(inside).toBeLessThanOrEqual(limit);
              for (let i = 0; i < plan.turns; i++) await Promise.resolve();
              inside--;
            } catch (error) {
              expect(error).toMatchObject({ message: 'abort' });
            }
          };
          await Promise.all(plans.map(run));
          expect([inside, semaphore.active, semaphore.waiting]).toEqual([0, 0, 0]);
        },
      ),
    );
    expect(waited).toBeGreaterThan(50);
  });
});
