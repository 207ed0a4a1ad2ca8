import { describe, expect, it } from 'vitest';
import { ConnectionCount, minSplitBytes } from '../../../src/fill/schedule/connection-count.ts';

const mb = 1e6;
const leftBytes = 1000 * mb;

/** Looks until the number has settled at what `rateOf` gives with each number of connections; returns the numbers it had. */
function climb(
  connectionCount: ConnectionCount,
  rateOf: (connections: number) => number,
  isSaturated: (connections: number) => boolean = () => false,
): number[] {
  const numbers = [connectionCount.connections];
  for (let look = 0; look < 20 && !connectionCount.isSettled; look++) {
    const { connections } = connectionCount;
    connectionCount.look({ bytesPerSecond: rateOf(connections), leftBytes, isSaturated: isSaturated(connections) });
    if (connectionCount.connections !== connections) numbers.push(connectionCount.connections);
  }
  return numbers;
}

describe('Ramp', () => {
  it('doubles as long as twice as many bring more, up to the limit', () => {
    const connectionCount = new ConnectionCount(8);
    expect(climb(connectionCount, (n) => n * 12 * mb)).toEqual([1, 2, 4, 8]);
    expect([connectionCount.isSettled, connectionCount.proven]).toEqual([true, 8]);
    expect(climb(new ConnectionCount(5), (n) => n * 12 * mb)).toEqual([1, 2, 4, 5]);
  });

  it('goes back to the last number that was worth it', () => {
    const connectionCount = new ConnectionCount(8);
    expect(climb(connectionCount, (n) => Math.min(n * 12, 29) * mb)).toEqual([1, 2, 4, 2]);
    expect(connectionCount.proven).toBe(2);
    expect(climb(new ConnectionCount(8), () => 12 * mb)).toEqual([1, 2, 1]);
  });

  it('gives a step several looks, because new connections begin slowly', () => {
    const connectionCount = new ConnectionCount(8);
    for (const bytesPerSecond of [12 * mb, 13 * mb, 12 * mb, 13 * mb, 24 * mb])
      connectionCount.look({ bytesPerSecond, leftBytes, isSaturated: false });
    expect(connectionCount.connections).toBe(4);
  });

  it.each([
    ['is nearly there', 40 * mb, 39 * mb],
    ['has little left', mb, minSplitBytes - 1],
  ])('stays with one connection when it %s', (_, bytesPerSecond, left) => {
    const connectionCount = new ConnectionCount(8);
    connectionCount.look({ bytesPerSecond, leftBytes: left, isSaturated: false });
    expect([connectionCount.connections, connectionCount.isSettled]).toEqual([1, true]);
  });

  it('stays with one connection while it is fast, and looks whether that lasts', () => {
    const connectionCount = new ConnectionCount(8);
    connectionCount.look({ bytesPerSecond: 200 * mb, leftBytes, isSaturated: false });
    expect([connectionCount.connections, connectionCount.isSettled]).toEqual([1, false]);
    expect(climb(connectionCount, (n) => n * 12 * mb)).toEqual([1, 2, 4, 8]);
  });

  it('tries again when what it compared with turns out to have been a burst', () => {
    const connectionCount = new ConnectionCount(8);
    const look = (rate: number): number => {
      connectionCount.look({ bytesPerSecond: rate * mb, leftBytes, isSaturated: false });
      return connectionCount.connections;
    };
    // A second's worth at once, as nginx and many shapers give; the second connection comes into the silence after it.
    expect([62, 50, 14, 13, 14].map(look)).toEqual([2, 2, 2, 2, 1]);
    expect([14, 12, 13, 12, 12].map(look)).toEqual([1, 1, 1, 1, 2]);
    expect(climb(connectionCount, (n) => n * 12 * mb)).toEqual([2, 4, 8]);
    expect([connectionCount.proven, connectionCount.isSettled]).toEqual([8, true]);
  });

  it('tries again from the number that was worth it', () => {
    const connectionCount = new ConnectionCount(8);
    const look = (rate: number): number => {
      connectionCount.look({ bytesPerSecond: rate * mb, leftBytes, isSaturated: false });
      return connectionCount.connections;
    };
    expect([50, 90, 90, 90, 90, 90].map(look)).toEqual([2, 4, 4, 4, 4, 2]);
    expect([60, 60, 60, 60, 60].map(look)).toEqual([2, 2, 2, 2, 4]);
    expect(climb(connectionCount, (n) => n * 30 * mb)).toEqual([4, 8]);
  });

  it('takes nothing for a burst while we are the slow ones, nor when little is left', () => {
    const connectionCount = new ConnectionCount(8);
    const look = (isSaturated: boolean, left = leftBytes): number => {
      connectionCount.look({ bytesPerSecond: 12 * mb, leftBytes: left, isSaturated });
      return connectionCount.connections;
    };
    connectionCount.look({ bytesPerSecond: 62 * mb, leftBytes, isSaturated: false });
    expect([1, 2, 3, 4].map(() => look(false))).toEqual([2, 2, 2, 1]);
    expect(Array.from({ length: 10 }, () => look(true))).toEqual(Array.from({ length: 10 }, () => 1));
    expect([1, 2, 3, 4].map(() => look(false))).toEqual([1, 1, 1, 1]);
    expect([look(false, minSplitBytes - 1), connectionCount.isSettled]).toEqual([1, true]);
  });

  it('does not try again while the rate stays what it was, and not for ever on a line that goes up and down', () => {
    const steady = new ConnectionCount(8);
    expect(climb(steady, () => 12 * mb)).toEqual([1, 2, 1]);
    expect([steady.connections, steady.proven]).toEqual([1, 1]);
    const connectionCount = new ConnectionCount(8);
    let rate = 1000 * mb;
    const numbers: number[] = [];
    for (let look = 0; look < 100 && !connectionCount.isSettled; look++, rate *= 0.8) {
      connectionCount.look({ bytesPerSecond: rate, leftBytes: 1000 * 1000 * mb, isSaturated: false });
      if (numbers.at(-1) !== connectionCount.connections) numbers.push(connectionCount.connections);
    }
    expect(numbers).toEqual([1, 2, 1, 2, 1, 2, 1, 2, 1]);
    expect(connectionCount.isSettled).toBe(true);
  });

  it('does not begin while we are the slow ones, and goes no further then', () => {
    const connectionCount = new ConnectionCount(8);
    connectionCount.look({ bytesPerSecond: 50 * mb, leftBytes, isSaturated: true });
    expect([connectionCount.connections, connectionCount.isSettled]).toEqual([1, false]);
    expect(
      climb(
        connectionCount,
        (n) => n * 50 * mb,
        (n) => n >= 4,
      ),
    ).toEqual([1, 2, 4]);
    expect([connectionCount.connections, connectionCount.proven, connectionCount.isSettled]).toEqual([4, 4, true]);
  });

  it('uses no more than the upstream gives', () => {
    const connectionCount = new ConnectionCount(8);
    connectionCount.look({ bytesPerSecond: 12 * mb, leftBytes, isSaturated: false });
    connectionCount.look({ bytesPerSecond: 24 * mb, leftBytes, isSaturated: false });
    connectionCount.refused(3);
    expect([connectionCount.connections, connectionCount.proven, connectionCount.isSettled]).toEqual([3, 3, true]);
    connectionCount.refused(0);
    expect(connectionCount.connections).toBe(1);
  });

  it('begins with what was learnt, within its own limit, and tries nothing more', () => {
    expect(climb(new ConnectionCount(8, 4), (n) => n * 12 * mb)).toEqual([4]);
    expect(new ConnectionCount(2, 4).connections).toBe(2);
    expect(new ConnectionCount(8, 1).isSettled).toBe(true);
    expect(new ConnectionCount(1).isSettled).toBe(true);
  });
});
