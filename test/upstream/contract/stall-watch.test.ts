import { describe, expect, it } from 'vitest';
import { Patience, type PatienceFlag } from '../../../src/upstream/contract/patience.ts';
import { StallWatch } from '../../../src/upstream/contract/stall-watch.ts';
import { FakeClock } from '../../support/fake-clock.ts';

const limits = { idleMs: 60_000, floorBytesPerSecond: 16 * 1024, floorWindowMs: 60_000 };

function setUp(patience?: PatienceFlag): { clock: FakeClock; watch: StallWatch; stalls: string[] } {
  const clock = new FakeClock();
  const stalls: string[] = [];
  return { clock, stalls, watch: new StallWatch(limits, clock, (reason) => stalls.push(reason), patience) };
}

/** One wait of `ms` that ends with `bytes`. */
async function step(clock: FakeClock, watch: StallWatch, ms: number, bytes: number): Promise<void> {
  watch.waiting();
  await clock.advance(ms);
  watch.arrived(bytes);
}

describe('stall watch', () => {
  it('speaks up after an idle minute, once', async () => {
    const { clock, watch, stalls } = setUp();
    watch.waiting();
    await clock.advance(59_999);
    expect(stalls).toEqual([]);
    await clock.advance(1);
    await clock.advance(600_000);
    expect(stalls).toHaveLength(1);
    expect(clock.pending).toBe(0);
  });

  it('speaks up about a drip that never pauses', async () => {
    const { clock, watch, stalls } = setUp();
    for (let i = 0; i < 700 && stalls.length === 0; i++) await step(clock, watch, 100, 1);
    expect(stalls).toHaveLength(1);
    expect(clock.monotonic()).toBeLessThanOrEqual(60_100);
  });

  it('speaks up about a byte now and then', async () => {
    const { clock, watch, stalls } = setUp();
    for (let i = 0; i < 3 && stalls.length === 0; i++) await step(clock, watch, 59_000, 1);
    expect(stalls).toHaveLength(1);
    expect(clock.monotonic()).toBeLessThanOrEqual(118_000);
  });

  it('lets a slow body pass that keeps above the floor, however long it takes', async () => {
    const { clock, watch, stalls } = setUp();
    for (let i = 0; i < 400; i++) await step(clock, watch, 1000, 17 * 1024);
    expect(stalls).toEqual([]);
  });

  it('does not count the time in which nobody waits for bytes', async () => {
    const { clock, watch, stalls } = setUp();
    for (let i = 0; i < 20; i++) {
      await step(clock, watch, 10, 64 * 1024);
      await clock.advance(300_000);
    }
    expect(stalls).toEqual([]);
  });

  it('begins a new minute with each one that was fast enough', async () => {
    const { clock, watch, stalls } = setUp();
    await step(clock, watch, 59_000, 10_000_000);
    await step(clock, watch, 1000, 1);
    for (let i = 0; i < 700 && stalls.length === 0; i++) await step(clock, watch, 100, 1);
    expect(stalls).toHaveLength(1);
  });

  it('leaves no timer behind when the body ends', async () => {
    const { clock, watch } = setUp();
    await step(clock, watch, 10, 1);
    watch.end();
    expect(clock.pending).toBe(0);
  });
});

describe('a stall watch with patience', () => {
  const patient = (): PatienceFlag => new Int32Array(new SharedArrayBuffer(4)).fill(1);

  it('waits for an hour, and no longer', async () => {
    const { clock, watch, stalls } = setUp(patient());
    watch.waiting();
    await clock.advance(3_599_999);
    expect(stalls).toEqual([]);
    await clock.advance(5_001);
    expect(stalls).toHaveLength(1);
    expect(clock.pending).toBe(0);
  });

  it('lets a drip pass', async () => {
    const { clock, watch, stalls } = setUp(patient());
    for (let i = 0; i < 100; i++) await step(clock, watch, 59_000, 1);
    expect(stalls).toEqual([]);
  });

  it('notices within seconds that there is no patience any more', async () => {
    const flag = patient();
    const { clock, watch, stalls } = setUp(flag);
    watch.waiting();
    await clock.advance(600_000);
    expect(stalls).toEqual([]);
    Atomics.store(flag, 0, 0);
    await clock.advance(5_000);
    expect(stalls).toHaveLength(1);
  });

  it('judges a drip anew when there is no patience any more', async () => {
    const flag = patient();
    const { clock, watch, stalls } = setUp(flag);
    for (let i = 0; i < 100; i++) await step(clock, watch, 59_000, 1);
    Atomics.store(flag, 0, 0);
    for (let i = 0; i < 2 && stalls.length === 0; i++) await step(clock, watch, 59_000, 1);
    expect(stalls).toHaveLength(1);
  });

  it('is told what is so now, until it ends', async () => {
    const clock = new FakeClock();
    let mayWait = false;
    const patience = new Patience(clock, () => mayWait);
    expect(patience.flag[0]).toBe(0);
    mayWait = true;
    await clock.advance(5_000);
    expect(patience.flag[0]).toBe(1);
    patience.end();
    patience.end();
    expect([patience.flag[0], clock.pending]).toEqual([0, 0]);
  });
});
