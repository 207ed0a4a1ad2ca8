import { describe, expect, it } from 'vitest';
import { Pause } from '../../src/lib/backoff.ts';
import { FakeClock } from '../support/fake-clock.ts';

function rig(): { clock: FakeClock; pause: Pause; over: number[] } {
  const clock = new FakeClock();
  const over: number[] = [];
  const onOver = (): void => void over.push(clock.monotonic());
  return { clock, over, pause: new Pause({ clock, firstMs: 100, longestMs: 350, onOver }) };
}

describe('Pause', () => {
  it('is twice as long after each failure, up to a limit, and short again after a success', async () => {
    const { clock, pause, over } = rig();
    for (let failure = 0; failure < 4; failure++) {
      pause.failed();
      await clock.advance(350);
    }
    pause.succeeded();
    pause.failed();
    await clock.advance(350);
    expect(over).toEqual([100, 550, 1050, 1400, 1500]);
  });

  it('counts what fails together once', async () => {
    const { clock, pause, over } = rig();
    pause.failed();
    pause.failed();
    expect(pause.isOn).toBe(true);
    await clock.advance(99);
    expect(pause.isOn).toBe(true);
    await clock.advance(1);
    expect([pause.isOn, over]).toEqual([false, [100]]);
    pause.failed();
    await clock.advance(200);
    expect(over).toEqual([100, 300]);
  });

  it('lasts as long as somebody asked for, within its limit', async () => {
    const { clock, pause, over } = rig();
    pause.failed(250);
    await clock.advance(1000);
    pause.succeeded();
    pause.failed(3_600_000);
    await clock.advance(1000);
    expect(over).toEqual([250, 1350]);
  });

  it('leaves no timer when it ends', () => {
    const { clock, pause, over } = rig();
    pause.failed();
    pause.end();
    pause.end();
    expect([clock.pending, pause.isOn, over]).toEqual([0, false, []]);
  });
});
