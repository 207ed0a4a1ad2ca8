import { getEventListeners } from 'node:events';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Watermark } from '../../src/lib/watermark.ts';

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('watermark', () => {
  it('starts open at 0 and moves forward only', () => {
    const watermark = new Watermark();
    expect([watermark.position, watermark.state]).toEqual([0, 'open']);
    watermark.advance(5);
    const { sequence } = watermark;
    watermark.advance(5);
    expect(watermark.sequence).toBe(sequence);
    for (const wrong of [4, -1, 5.5, Number.NaN, 2 ** 53]) expect(() => watermark.advance(wrong)).toThrow(RangeError);
    expect(watermark.position).toBe(5);
  });

  it('keeps the first final state', () => {
    const watermark = new Watermark();
    expect(watermark.setState('failed')).toBe(true);
    expect(watermark.setState('sealed')).toBe(false);
    expect(watermark.state).toBe('failed');
  });

  it('resolves at once what is true already', async () => {
    const watermark = new Watermark();
    const before = watermark.sequence;
    watermark.advance(10);
    await watermark.past(9);
    await watermark.changed(before);
    watermark.setState('sealed');
    await watermark.past(10);
  });

  it('wakes whom a change concerns, and nobody else', async () => {
    const watermark = new Watermark();
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

  it('ends a wait with the reason of its signal, and leaves nothing behind', async () => {
    const watermark = new Watermark();
    const controller = new AbortController();
    const waiting = watermark.past(0, controller.signal);
    controller.abort(new Error('left'));
    await expect(waiting).rejects.toThrow('left');
    await expect(watermark.changed(watermark.sequence, controller.signal)).rejects.toThrow('left');
    expect(watermark.waiting).toBe(0);
  });

  it('takes its listener off the signal when woken', async () => {
    const watermark = new Watermark();
    const { signal } = new AbortController();
    const waiting = watermark.past(0, signal);
    watermark.advance(1);
    await waiting;
    expect(getEventListeners(signal, 'abort')).toEqual([]);
  });

  it('shows any sequence of advances to a follower without loss of the last one', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 2 ** 40 }), { maxLength: 10 }), async (steps) => {
        const watermark = new Watermark();
        const follow = async (): Promise<number> => {
          let seen = 0;
          while (watermark.state === 'open') {
            await watermark.past(seen);
            expect(watermark.position).toBeGreaterThanOrEqual(seen);
            seen = watermark.position;
          }
          return seen;
        };
        const following = follow();
        let position = 0;
        for (const step of steps) {
          watermark.advance((position += step));
          if (step % 2 === 0) await turn();
        }
        watermark.setState('sealed');
        expect(await following).toBe(position);
      }),
      { numRuns: 50 },
    );
  });
});
