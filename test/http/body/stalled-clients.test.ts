import { describe, expect, it } from 'vitest';
import { StallWatch, type Watched } from '../../../src/http/body/stalled-clients.ts';
import { FakeClock } from '../../support/fake-clock.ts';

class Reader implements Watched {
  pendingSinceMs: number | undefined;
  cuts = 0;

  cut(): void {
    this.cuts++;
  }
}

const minute = 60_000;

describe('the stall watch', () => {
  it('cuts whoever has taken nothing for 15 minutes, and nobody who waits for bytes', async () => {
    const clock = new FakeClock();
    const watch = new StallWatch(clock);
    const stalled = new Reader();
    const waiting = new Reader();
    const moving = new Reader();
    stalled.pendingSinceMs = clock.monotonic();
    for (const reader of [stalled, waiting, moving]) watch.add(reader);
    for (let passed = 0; passed < 14; passed++) {
      moving.pendingSinceMs = clock.monotonic();
      await clock.advance(minute);
    }
    expect(stalled.cuts).toBe(0);
    moving.pendingSinceMs = clock.monotonic();
    await clock.advance(3 * minute);
    expect(stalled.cuts).toBeGreaterThan(0);
    expect([waiting.cuts, moving.cuts]).toEqual([0, 0]);
  });

  it('leaves no timer when nobody is watched', async () => {
    const clock = new FakeClock();
    const watch = new StallWatch(clock);
    const reader = new Reader();
    expect(clock.pending).toBe(0);
    watch.add(reader);
    await clock.advance(60 * minute);
    expect(clock.pending).toBe(1);
    watch.delete(reader);
    expect([clock.pending, watch.size]).toEqual([0, 0]);
  });
});
