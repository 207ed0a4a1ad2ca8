import { describe, expect, it } from 'vitest';
import { ChunkSize } from '../../../src/fill/schedule/chunk-size.ts';

const mib = 1024 * 1024;

describe('the size of a chunk', () => {
  it('is what came in half a second, within bounds', () => {
    const chunkSize = new ChunkSize();
    expect(chunkSize.bytes).toBe(mib);
    const taken: readonly (readonly [bytes: number, ms: number, next: number])[] = [
      [mib, 250, 2 * mib],
      [2 * mib, 2000, mib / 2],
      [mib / 2, 60_000, mib / 2],
      [mib / 2, 1, 8 * mib],
      [8 * mib, 0, 8 * mib],
      [0, 0, 8 * mib],
      [0, 1000, mib / 2],
    ];
    for (const [bytes, ms, next] of taken) {
      chunkSize.took(bytes, ms);
      expect(chunkSize.bytes).toBe(next);
    }
  });
});
