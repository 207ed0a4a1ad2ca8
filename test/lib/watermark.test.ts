import { getEventListeners, on } from 'node:events';
import { Worker } from 'node:worker_threads';
import fc from 'fast-check';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { Watermark } from '../../src/lib/watermark.ts';

afterEach(() => void vi.restoreAllMocks());

/** Counts the waits that Atomics holds for us: begun, and still outstanding. */
function countAsyncWaits() {
  const counts = { begun: 0, outstanding: 0, most: 0 };
  const original = Atomics.waitAsync.bind(Atomics);
  vi.spyOn(Atomics, 'waitAsync').mockImplementation(((
    cells: Int32Array,
    index: number,
    value: number,
    timeout?: number,
  ) => {
    const wait = original(cells as Int32Array<SharedArrayBuffer>, index, value, timeout);
    if (wait.async) {
      counts.begun++;
      counts.outstanding++;
      counts.most = Math.max(counts.most, counts.outstanding);
      void wait.value.then(() => counts.outstanding--);
    }
    return wait;
  }) as typeof Atomics.waitAsync);
  return counts;
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

async function eventually(isTrue: () => boolean): Promise<void> {
  const deadline = Date.now() + 10_000;
  while (!isTrue()) {
    if (Date.now() > deadline) throw new Error('not in ten seconds');
    await turn();
  }
}

describe('watermark', () => {
  it('starts open at 0 and moves forward only', () => {
    const watermark = Watermark.create();
    expect([watermark.position, watermark.state]).toEqual([0, 'open']);
    watermark.advance(5);
    const { sequence } = watermark;
    watermark.advance(5);
    expect(watermark.sequence).toBe(sequence);
    for (const wrong of [4, -1, 5.5, Number.NaN, 2 ** 53]) expect(() => watermark.advance(wrong)).toThrow(RangeError);
    expect(watermark.position).toBe(5);
  });

  it.each([2 ** 31, 2 ** 32 + 1, 2 ** 33 + 7, Number.MAX_SAFE_INTEGER])(
    'carries the position %d to another object',
    (to) => {
      const writer = Watermark.create();
      const reader = new Watermark(writer.buffer);
      writer.advance(to - 1);
      writer.advance(to);
      expect(reader.position).toBe(to);
    },
  );

  it('keeps the first final state', () => {
    const watermark = Watermark.create();
    expect(watermark.setState('failed')).toBe(true);
    expect(watermark.setState('sealed')).toBe(false);
    expect(watermark.state).toBe('failed');
  });

  it('resolves at once what is true already', async () => {
    const watermark = Watermark.create();
    const before = watermark.sequence;
    watermark.advance(10);
    await watermark.past(9);
    await watermark.changed(before);
    watermark.setState('sealed');
    await watermark.past(10);
  });

  it('wakes whom a change concerns, and nobody else', async () => {
    const watermark = Watermark.create();
    const woken: string[] = [];
    const waits = [
      watermark.past(5).then(() => woken.push('past 5')),
      watermark.past(10).then(() => woken.push('past 10')),
      watermark.changed(watermark.sequence).then(() => woken.push('changed')),
    ];
    watermark.touch();
    await turn();
    expect(woken).toEqual(['changed']);
    watermark.advance(6);
    await turn();
    expect(woken).toEqual(['changed', 'past 5']);
    watermark.setState('sealed');
    await Promise.all(waits);
    expect(watermark.waiting).toBe(0);
  });

  it('wakes a waiter on another object of the same memory', async () => {
    const writer = Watermark.create();
    const reader = new Watermark(writer.buffer);
    const waiting = reader.past(2 ** 33);
    writer.advance(2 ** 33);
    writer.advance(2 ** 33 + 1);
    await waiting;
    expect(reader.position).toBe(2 ** 33 + 1);
  });

  it('ends a wait with the reason of its signal, and leaves nothing behind', async () => {
    const counts = countAsyncWaits();
    const watermark = Watermark.create();
    const controller = new AbortController();
    const waiting = watermark.past(0, controller.signal);
    controller.abort(new Error('left'));
    await expect(waiting).rejects.toThrow('left');
    await expect(watermark.changed(watermark.sequence, controller.signal)).rejects.toThrow('left');
    expect(watermark.waiting).toBe(0);
    await eventually(() => counts.outstanding === 0);
    expect(counts.begun).toBe(1);
  });

  it('takes its listener off the signal when woken', async () => {
    const watermark = Watermark.create();
    const { signal } = new AbortController();
    const waiting = watermark.past(0, signal);
    watermark.advance(1);
    await waiting;
    expect(getEventListeners(signal, 'abort')).toEqual([]);
  });

  it('serves 100,000 waiters with one wait of Atomics', async () => {
    const counts = countAsyncWaits();
    const writer = Watermark.create();
    const reader = new Watermark(writer.buffer);
    const waits = Array.from({ length: 100_000 }, () => reader.past(0));
    expect(reader.waiting).toBe(100_000);
    expect(counts).toEqual({ begun: 1, outstanding: 1, most: 1 });
    writer.advance(1);
    await Promise.all(waits);
    expect(reader.waiting).toBe(0);
    await eventually(() => counts.outstanding === 0);
    expect(counts.begun).toBe(1);
  });

  it('does not pile up 100,000 abandoned waits', async () => {
    const counts = countAsyncWaits();
    const watermark = Watermark.create();
    let rejected = 0;
    for (let i = 0; i < 100_000; i++) {
      const controller = new AbortController();
      const waiting = watermark.past(0, controller.signal);
      controller.abort();
      await waiting.catch(() => rejected++);
    }
    expect(rejected).toBe(100_000);
    expect(counts.most).toBe(1);
    await eventually(() => counts.outstanding === 0);
  });

  it('re-arms after its time-out as long as somebody waits, and then stops', async () => {
    const counts = countAsyncWaits();
    const watermark = Watermark.create(5);
    const waiting = watermark.past(0);
    await eventually(() => counts.begun >= 3);
    watermark.advance(1);
    await waiting;
    await eventually(() => counts.outstanding === 0);
    const { begun } = counts;
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(counts.begun).toBe(begun);
    expect(counts.most).toBe(1);
  });

  it('shows any sequence of advances to a follower without loss of the last one', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 2 ** 40 }), { maxLength: 10 }), async (steps) => {
        const writer = Watermark.create();
        const reader = new Watermark(writer.buffer);
        const follow = async (): Promise<number> => {
          let seen = 0;
          while (reader.state === 'open') {
            await reader.past(seen);
            expect(reader.position).toBeGreaterThanOrEqual(seen);
            seen = reader.position;
          }
          return seen;
        };
        const following = follow();
        let position = 0;
        for (const step of steps) {
          writer.advance((position += step));
          if (step % 2 === 0) await turn();
        }
        writer.setState('sealed');
        expect(await following).toBe(position);
      }),
      { numRuns: 50 },
    );
  });

  it('wakes another thread for each change, and for the end', async () => {
    const watermark = Watermark.create();
    const worker = new Worker(new URL('./watermark-follower.ts', import.meta.url), { workerData: watermark.buffer });
    const seen: unknown[] = [];
    for await (const [message] of on(worker, 'message', { signal: AbortSignal.timeout(20_000), close: ['exit'] })) {
      seen.push(message);
      if (seen.length <= 3) watermark.advance(watermark.position + 2 ** 32);
      else watermark.setState('sealed');
    }
    expect(seen).toEqual([
      { position: 0, state: 'open' },
      { position: 2 ** 32, state: 'open' },
      { position: 2 * 2 ** 32, state: 'open' },
      { position: 3 * 2 ** 32, state: 'open' },
      { position: 3 * 2 ** 32, state: 'sealed' },
    ]);
  });
});
