import { describe, expect, it } from 'vitest';
import { NegativeCache, RememberedRefusal } from '../../../src/cache/freshness/negative-cache.ts';
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
    const negativeCache = new NegativeCache(new FakeClock());
    negativeCache.remember('a', refusal, 5_000);
    const again = negativeCache.get('a');
    expect(again).toBeInstanceOf(RememberedRefusal);
    expect(again).toMatchObject({ kind: 'notFound', upstream: 'hub', status: 404, code: 'MANIFEST_UNKNOWN' });
    expect(formatCacheStatus(again?.outcome ?? { kind: 'miss' })).toBe('weir; hit; detail=negative');
    expect(() => negativeCache.check('a')).toThrow('no such tag');
    expect(() => negativeCache.check('b')).not.toThrow();
  });

  it('lives as long as it was told, by a clock that does not jump', async () => {
    const clock = new FakeClock();
    const negativeCache = new NegativeCache(clock);
    negativeCache.remember('a', refusal, 5_000);
    clock.setWallTime(0);
    await clock.advance(4_999);
    expect(negativeCache.get('a')).toBeDefined();
    await clock.advance(1);
    expect(negativeCache.get('a')).toBeUndefined();
  });

  it('gives way when there are too many', () => {
    const negativeCache = new NegativeCache(new FakeClock(), 2);
    for (const key of ['a', 'b', 'c']) negativeCache.remember(key, refusal, 5_000);
    expect(['a', 'b', 'c'].map((key) => negativeCache.get(key) !== undefined)).toEqual([false, true, true]);
  });
});
