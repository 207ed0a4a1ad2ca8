import { describe, expect, it } from 'vitest';
import { Generations } from '../../src/lib/change-counters.ts';

describe('Generations', () => {
  it('a stamp is current until one of its keys is bumped, on any object over the same memory', () => {
    const here = new Generations();
    const there = new Generations(here.buffer);
    const stamp = there.stamp('docker.io library/alpine', 'sha256:a');
    expect(there.isCurrent(stamp)).toBe(true);
    here.bump('docker.io library/busybox');
    expect(there.isCurrent(stamp)).toBe(true);
    here.bump('sha256:a');
    expect(there.isCurrent(stamp)).toBe(false);
    expect(there.isCurrent(there.stamp('docker.io library/alpine', 'sha256:a'))).toBe(true);
  });

  it('everything ends with the common counter', () => {
    const generations = new Generations();
    const stamps = [generations.stamp(), generations.stamp('a'), generations.stamp('a', 'b', 'c')];
    generations.bumpAll();
    expect(stamps.map((stamp) => generations.isCurrent(stamp))).toEqual([false, false, false]);
  });

  it('no key is counted with everything, so that a busy key does not outdate all others', () => {
    const generations = new Generations();
    const common = generations.stamp();
    for (let i = 0; i < 20_000; i++) generations.bump(`key ${i}`);
    expect(generations.isCurrent(common)).toBe(true);
  });
});
