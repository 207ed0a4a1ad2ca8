import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Claim, PieceMap } from '../../../src/fill/attempt/pieces.ts';

const size = 200;

describe('PieceMap', () => {
  it('gives a byte to one claim only, and never again once it is written', () => {
    const map = new PieceMap([], 100);
    const claim = map.claim(0, 60);
    expect(() => map.claim(50, 70)).toThrow(/not free/);
    expect(map.firstAbsent(0)).toEqual({ start: 60, end: 100 });
    map.advance(claim, 30);
    expect(map.frontier).toBe(30);
    map.release(claim);
    expect(map.firstAbsent(0)).toEqual({ start: 30, end: 100 });
    expect(() => map.claim(20, 40)).toThrow(/not free/);
  });

  it('does not let a claim shrink below bytes that are on their way to the file', () => {
    const map = new PieceMap([], 100);
    const claim = map.claim(0, 100);
    expect(map.commit(claim, 40)).toBe(40);
    map.shrink(claim, 10);
    expect(claim.end).toBe(40);
    expect(map.commit(claim, 5)).toBe(0);
    expect(map.isCommitted(claim)).toBe(true);
    expect(map.firstAbsent(0)).toEqual({ start: 40, end: 100 });
  });

  it('is not complete while the size is unknown', () => {
    const map = new PieceMap();
    const claim = map.claim(0, Infinity);
    map.commit(claim, 10);
    map.advance(claim, 10);
    expect(map.isComplete).toBe(false);
    map.setSize(10);
    expect(map.isComplete).toBe(true);
  });

  it('keeps claims and written bytes apart whatever happens (property)', () => {
    const step = fc.record({
      action: fc.constantFrom('claim', 'advance', 'shrink', 'release'),
      at: fc.nat(size),
      length: fc.integer({ min: 1, max: size }),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const map = new PieceMap([], size);
        const claims: Claim[] = [];
        const writes = new Uint8Array(size);
        for (const { action, at, length } of steps) {
          const claim = claims[at % Math.max(claims.length, 1)];
          if (action === 'claim') {
            const gap = map.firstAbsent(at, at + length);
            if (gap !== undefined) claims.push(map.claim(gap.start, gap.end));
          } else if (claim !== undefined && action === 'advance') {
            const bytes = map.commit(claim, length);
            writes.fill(1, claim.position, claim.position + bytes);
            map.advance(claim, claim.position + bytes);
          } else if (claim !== undefined && action === 'shrink') {
            map.shrink(claim, at);
          } else if (claim !== undefined) {
            map.release(claim);
            claims.splice(claims.indexOf(claim), 1);
          }
        }
        const model = new Uint8Array(size);
        for (const { start, end } of map.written()) model.fill(1, start, end);
        expect(model).toEqual(writes);
        for (const [index, claim] of claims.entries()) {
          for (const other of claims.slice(index + 1)) {
            const overlap = Math.min(claim.end, other.end) - Math.max(claim.position, other.position);
            expect(Math.min(overlap, claim.end - claim.position, other.end - other.position)).toBeLessThanOrEqual(0);
          }
        }
        for (let position = 0; position < size; position++) {
          const gap = map.firstAbsent(position, position + 1);
          const isAsked = claims.some((claim) => claim.position <= position && position < claim.end);
          expect(gap !== undefined).toBe(model[position] === 0 && !isAsked);
        }
      }),
      { numRuns: 500 },
    );
  });
});
