import { expect, it } from 'vitest';
import { lruOf } from '../../src/lib/lru.ts';

it('what was used least recently is forgotten beyond the bound', () => {
  const memory = lruOf<string, number>(3);
  for (const [index, key] of ['a', 'b', 'c'].entries()) memory.set(key, index);
  expect(memory.get('a')).toBe(0);
  memory.set('d', 3);
  expect([...memory.keys()].toSorted()).toEqual(['a', 'c', 'd']);
  for (let i = 0; i < 1000; i++) memory.set(`${i}`, i);
  expect([memory.size, memory.get('999')]).toEqual([3, 999]);
});

it('thousands of large memories that hold nothing cost next to nothing: hundreds of upstreams have some each', () => {
  const before = process.memoryUsage();
  const all = Array.from({ length: 2000 }, () => lruOf<string, number>(10_000));
  const after = process.memoryUsage();
  expect(all).toHaveLength(2000);
  expect(after.heapUsed + after.arrayBuffers - before.heapUsed - before.arrayBuffers).toBeLessThan(50 * 1024 * 1024);
});
