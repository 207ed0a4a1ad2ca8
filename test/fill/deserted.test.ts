import { describe, expect, it } from 'vitest';
import { Deserted } from '../../src/fill/deserted.ts';

describe('fills that go on for nobody', () => {
  it('are at most 8 of one client and 32 in all', () => {
    const deserted = new Deserted();
    const entered = (client: string, count: number): number =>
      Array.from({ length: count }, () => deserted.enter(client)).filter((one) => one !== undefined).length;
    expect(entered('a', 20)).toBe(8);
    expect(['b', 'c', 'd', 'e'].map((client) => entered(client, 20))).toEqual([8, 8, 8, 0]);
  });

  it('make room once when they end, however often that is said', () => {
    const deserted = new Deserted();
    const leaves = Array.from({ length: 8 }, () => deserted.enter('a'));
    leaves[0]?.();
    leaves[0]?.();
    expect([deserted.enter('a'), deserted.enter('a')]).toEqual([expect.any(Function), undefined]);
  });
});
