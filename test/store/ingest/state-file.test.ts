import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { IntervalSet } from '../../../src/lib/interval-set.ts';
import { digestOf } from '../../../src/oci/digest.ts';
import { clipIntervals, formatSideFile, intervalBytes, parseSideFile } from '../../../src/store/ingest/state-file.ts';

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);
const intervals = fc
  .array(fc.record({ start: fc.nat(), length: fc.nat() }))
  .map((list) => IntervalSet.fromEntries(list.map(({ start, length }) => ({ start, end: start + length }))).entries());

describe('a side file', () => {
  it('comes back as it was written', () => {
    fc.assert(
      fc.property(
        fc.string(),
        fc.string(),
        fc.option(fc.maxSafeNat(), { nil: undefined }),
        intervals,
        fc.maxSafeNat(),
        (seed, upstream, sizeBytes, synced, updatedAtMs) => {
          const side = { key: { digest: digestOf(seed), upstream }, sizeBytes, synced, updatedAtMs };
          expect(parseSideFile(bytesOf(formatSideFile(side)))).toEqual(side);
        },
      ),
    );
  });

  it('that weir would not write is nothing, whatever is in it', () => {
    const good = {
      digest: digestOf('x'),
      upstream: 'u',
      synced: [[0, 5]],
      updatedAtMs: 1,
    };
    expect(parseSideFile(bytesOf(JSON.stringify(good)))).toBeDefined();
    const bad: readonly Record<string, unknown>[] = [
      { digest: 'sha256:../../etc' },
      { digest: 5 },
      { upstream: null },
      { updatedAtMs: -1 },
      { updatedAtMs: '1' },
      { sizeBytes: 1.5 },
      { sizeBytes: null },
      { synced: [[5, 4]] },
      // Not in the order in which weir writes them.
      {
        synced: [
          [5, 6],
          [0, 1],
        ],
      },
      { synced: [[0]] },
      { synced: [[-1, 5]] },
      { synced: [[0, 1e300]] },
      { synced: ['05'] },
    ];
    for (const change of bad) {
      expect(parseSideFile(bytesOf(JSON.stringify({ ...good, ...change }))), JSON.stringify(change)).toBeUndefined();
    }
    for (const text of ['', '{', 'null', '[]', '"x"', '\0\0\0\0']) expect(parseSideFile(bytesOf(text))).toBeUndefined();
    // Without intervals it is readable, and says that nothing can be trusted.
    expect(parseSideFile(bytesOf(JSON.stringify({ ...good, synced: 7 })))?.synced).toEqual([]);
  });

  it('never throws', () => {
    fc.assert(fc.property(fc.uint8Array(), (bytes) => void parseSideFile(bytes)));
    fc.assert(fc.property(fc.json(), (text) => void parseSideFile(bytesOf(text))));
  });

  it('never promises bytes beyond the end of its file', () => {
    fc.assert(
      fc.property(intervals, fc.nat(), (list, limit) => {
        const clipped = clipIntervals(list, limit);
        const set = IntervalSet.fromEntries(clipped);
        expect(set.total).toBe(intervalBytes(clipped));
        expect(set.total).toBe(IntervalSet.fromEntries(list).total - bytesFrom(list, limit));
        for (const { start, end } of clipped) expect(start <= end && end <= limit).toBe(true);
      }),
    );
  });
});

function bytesFrom(list: readonly { start: number; end: number }[], limit: number): number {
  return list.reduce((sum, { start, end }) => sum + Math.max(0, end - Math.max(start, limit)), 0);
}
