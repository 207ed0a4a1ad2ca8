import { describe, expect, it } from 'vitest';
import { Ramp, minSplitBytes } from '../../src/cache/ramp.ts';

const mb = 1e6;
const leftBytes = 1000 * mb;

/** Looks until the ramp has settled at what `rateOf` gives with each number of connections; returns the numbers it had. */
function climb(
  ramp: Ramp,
  rateOf: (connections: number) => number,
  isSaturated: (connections: number) => boolean = () => false,
): number[] {
  const numbers = [ramp.connections];
  for (let look = 0; look < 20 && !ramp.isSettled; look++) {
    const { connections } = ramp;
    ramp.look({ bytesPerSecond: rateOf(connections), leftBytes, isSaturated: isSaturated(connections) });
    if (ramp.connections !== connections) numbers.push(ramp.connections);
  }
  return numbers;
}

describe('Ramp', () => {
  it('doubles as long as twice as many bring more, up to the limit', () => {
    const ramp = new Ramp(8);
    expect(climb(ramp, (n) => n * 12 * mb)).toEqual([1, 2, 4, 8]);
    expect([ramp.isSettled, ramp.proven]).toEqual([true, 8]);
    expect(climb(new Ramp(5), (n) => n * 12 * mb)).toEqual([1, 2, 4, 5]);
  });

  it('goes back to the last number that was worth it', () => {
    const ramp = new Ramp(8);
    expect(climb(ramp, (n) => Math.min(n * 12, 29) * mb)).toEqual([1, 2, 4, 2]);
    expect(ramp.proven).toBe(2);
    expect(climb(new Ramp(8), () => 12 * mb)).toEqual([1, 2, 1]);
  });

  it('gives a step a second look, because new connections begin slowly', () => {
    const ramp = new Ramp(8);
    for (const bytesPerSecond of [12 * mb, 13 * mb, 24 * mb])
      ramp.look({ bytesPerSecond, leftBytes, isSaturated: false });
    expect(ramp.connections).toBe(4);
  });

  it.each([
    ['is fast', 200 * mb, leftBytes],
    ['is nearly there', 40 * mb, 39 * mb],
    ['has little left', mb, minSplitBytes - 1],
  ])('stays with one connection when it %s', (_, bytesPerSecond, left) => {
    const ramp = new Ramp(8);
    ramp.look({ bytesPerSecond, leftBytes: left, isSaturated: false });
    expect([ramp.connections, ramp.isSettled]).toEqual([1, true]);
  });

  it('does not begin while we are the slow ones, and goes no further then', () => {
    const ramp = new Ramp(8);
    ramp.look({ bytesPerSecond: 50 * mb, leftBytes, isSaturated: true });
    expect([ramp.connections, ramp.isSettled]).toEqual([1, false]);
    expect(
      climb(
        ramp,
        (n) => n * 50 * mb,
        (n) => n >= 4,
      ),
    ).toEqual([1, 2, 4]);
    expect([ramp.connections, ramp.proven, ramp.isSettled]).toEqual([4, 4, true]);
  });

  it('uses no more than the upstream gives', () => {
    const ramp = new Ramp(8);
    ramp.look({ bytesPerSecond: 12 * mb, leftBytes, isSaturated: false });
    ramp.look({ bytesPerSecond: 24 * mb, leftBytes, isSaturated: false });
    ramp.refused(3);
    expect([ramp.connections, ramp.proven, ramp.isSettled]).toEqual([3, 3, true]);
    ramp.refused(0);
    expect(ramp.connections).toBe(1);
  });

  it('begins with what was learnt, within its own limit, and tries nothing more', () => {
    expect(climb(new Ramp(8, 4), (n) => n * 12 * mb)).toEqual([4]);
    expect(new Ramp(2, 4).connections).toBe(2);
    expect(new Ramp(8, 1).isSettled).toBe(true);
    expect(new Ramp(1).isSettled).toBe(true);
  });
});
