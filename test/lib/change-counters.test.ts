import { describe, expect, it } from 'vitest';
import { ChangeCounters } from '../../src/lib/change-counters.ts';

describe('ChangeCounters', () => {
  it('a stamp is current until one of its keys is bumped, on any object over the same memory', () => {
    const here = new ChangeCounters();
    const there = new ChangeCounters(here.buffer);
    const stamp = there.stamp('docker.io library/alpine', 'sha256:a');
    expect(there.isCurrent(stamp)).toBe(true);
    here.bump('docker.io library/busybox');
    expect(there.isCurrent(stamp)).toBe(true);
    here.bump('sha256:a');
    expect(there.isCurrent(stamp)).toBe(false);
    expect(there.isCurrent(there.stamp('docker.io library/alpine', 'sha256:a'))).toBe(true);
  });

  it('everything ends with the common counter', () => {
    const changes = new ChangeCounters();
    const stamps = [changes.stamp(), changes.stamp('a'), changes.stamp('a', 'b', 'c')];
    changes.bumpAll();
    expect(stamps.map((stamp) => changes.isCurrent(stamp))).toEqual([false, false, false]);
  });

  it('no key is counted with everything, so that a busy key does not outdate all others', () => {
    const changes = new ChangeCounters();
    const common = changes.stamp();
    for (let i = 0; i < 20_000; i++) changes.bump(`key ${i}`);
    expect(changes.isCurrent(common)).toBe(true);
  });
});
