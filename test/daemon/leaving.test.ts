import { describe, expect, it } from 'vitest';
import { leave } from '../../src/daemon/leaving.ts';
import { FakeClock } from '../support/fake-clock.ts';

describe('leaving', () => {
  it('ends less than a second after its grace, whatever hangs', async () => {
    const clock = new FakeClock();
    const grace = new AbortController();
    let hasEnded = false;
    let late = 0;
    const leaving = leave(new Promise(() => undefined), grace.signal, clock, () => void (late += 1)).then(() => {
      hasEnded = true;
    });
    await clock.advance(60_000);
    grace.abort();
    await clock.advance(699);
    expect([hasEnded, late]).toEqual([false, 0]);
    await clock.advance(300);
    await leaving;
    expect(late).toBe(1);
  });

  it('ends with its work, and passes its failure on', async () => {
    const clock = new FakeClock();
    const never = new AbortController();
    const onLate = (): void => expect.unreachable('it was in time');
    await leave(Promise.resolve(), never.signal, clock, onLate);
    await expect(leave(Promise.reject(new Error('no')), AbortSignal.abort(), clock, onLate)).rejects.toThrow('no');
    await clock.advance(10_000);
  });
});
