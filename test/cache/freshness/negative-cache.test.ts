import { describe, expect, it } from 'vitest';
import { Negatives, RememberedRefusal } from '../../../src/cache/freshness/negative-cache.ts';
import { formatCacheStatus } from '../../../src/headers/cache-status.ts';
import { UpstreamError } from '../../../src/upstream/contract/errors.ts';
import { FakeClock } from '../../support/fake-clock.ts';

const refusal = new UpstreamError('notFound', 'no such tag', {
  upstream: 'hub',
  status: 404,
  code: 'MANIFEST_UNKNOWN',
});

describe('a remembered refusal', () => {
  it('says what the upstream said, and that it was remembered', () => {
    const negatives = new Negatives(new FakeClock());
    negatives.remember('a', refusal, 5_000);
    const again = negatives.get('a');
    expect(again).toBeInstanceOf(RememberedRefusal);
    expect(again).toMatchObject({ kind: 'notFound', upstream: 'hub', status: 404, code: 'MANIFEST_UNKNOWN' });
    expect(formatCacheStatus(again?.outcome ?? { kind: 'miss' })).toBe('weir; hit; detail=negative');
    expect(() => negatives.check('a')).toThrow('no such tag');
    expect(() => negatives.check('b')).not.toThrow();
  });

  it('lives as long as it was told, by a clock that does not jump', async () => {
    const clock = new FakeClock();
    const negatives = new Negatives(clock);
    negatives.remember('a', refusal, 5_000);
    clock.setWallTime(0);
    await clock.advance(4_999);
    expect(negatives.get('a')).toBeDefined();
    await clock.advance(1);
    expect(negatives.get('a')).toBeUndefined();
  });

  it('gives way when there are too many', () => {
    const negatives = new Negatives(new FakeClock(), 2);
    for (const key of ['a', 'b', 'c']) negatives.remember(key, refusal, 5_000);
    expect(['a', 'b', 'c'].map((key) => negatives.get(key) !== undefined)).toEqual([false, true, true]);
  });
});
