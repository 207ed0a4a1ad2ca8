import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { RateLimit } from '../../../src/upstream/limits/rate-limit.ts';
import { FakeClock } from '../../support/fake-clock.ts';

function rig() {
  const clock = new FakeClock();
  const limit = new RateLimit('hub', clock);
  /** A question goes out now. */
  const ask = (): number => {
    limit.passed();
    return clock.monotonic();
  };
  const waitMs = (): number => Math.max(0, limit.opensAtMs - clock.monotonic());
  return { clock, limit, ask, waitMs };
}

describe('a rate limit', () => {
  it('holds nobody back before the first 429', () => {
    const { limit, ask } = rig();
    ask();
    limit.answered();
    expect([limit.isOn, limit.opensAtMs, limit.refusal(0)]).toEqual([false, -Infinity, undefined]);
  });

  it.each([
    [undefined, 500],
    [0, 500],
    [3_000, 3_000],
    [10_000, 10_000],
  ])(
    'after a 429 with %s ms the next goes after %i ms, and then one after the other',
    async (retryAfterMs, expectedMs) => {
      const { clock, limit, ask, waitMs } = rig();
      limit.limited(retryAfterMs, ask());
      expect(waitMs()).toBe(expectedMs);
      await clock.advance(expectedMs);
      expect(waitMs()).toBe(0);
      ask();
      expect(waitMs()).toBe(500);
    },
  );

  it('goes faster with each answer', async () => {
    const { clock, limit, ask, waitMs } = rig();
    limit.limited(undefined, ask());
    const pauses: number[] = [];
    for (let i = 0; i < 20; i++) {
      await clock.advance(waitMs());
      ask();
      pauses.push(waitMs());
      limit.answered();
    }
    expect(pauses).toEqual(pauses.toSorted((a, b) => b - a));
    expect(pauses.at(-1)).toBeLessThan(150);
  });

  it('goes slower with each 429, and never again as fast as what brought one', async () => {
    const { clock, limit, ask, waitMs } = rig();
    limit.limited(undefined, ask());
    for (let i = 0; i < 5; i++) {
      await clock.advance(waitMs());
      ask();
      limit.answered();
    }
    await clock.advance(waitMs());
    const sentMs = ask();
    const tooFastMs = waitMs();
    limit.limited(undefined, sentMs);
    expect(waitMs()).toBeGreaterThanOrEqual(tooFastMs * 2);
    let fastestMs = Infinity;
    for (let i = 0; i < 50; i++) {
      await clock.advance(waitMs());
      ask();
      fastestMs = Math.min(fastestMs, waitMs());
      limit.answered();
    }
    expect(fastestMs).toBeGreaterThan(tooFastMs);
  });

  it('learns once from those that were under way together', async () => {
    const { clock, limit, ask, waitMs } = rig();
    const sent = [ask(), ask(), ask(), ask()];
    await clock.advance(100);
    for (const sentMs of sent) limit.limited(undefined, sentMs);
    expect(waitMs()).toBe(500);
    await clock.advance(500);
    ask();
    expect(waitMs()).toBe(500);
  });

  it('is forgotten a minute after the last 429', async () => {
    const { clock, limit, ask } = rig();
    limit.limited(undefined, ask());
    await clock.advance(59_999);
    expect(limit.isOn).toBe(true);
    await clock.advance(1);
    expect([limit.isOn, limit.opensAtMs]).toEqual([false, -Infinity]);
  });

  it('remembers a pace that was too fast beyond that', async () => {
    const { clock, limit, ask, waitMs } = rig();
    limit.limited(undefined, ask());
    await clock.advance(waitMs());
    limit.limited(undefined, ask());
    await clock.advance(60_000);
    expect(limit.isOn).toBe(false);
    limit.limited(undefined, ask());
    expect(waitMs()).toBeGreaterThan(500);
  });

  it('refuses who could not be asked in time, with the time to come back', async () => {
    const { clock, limit, ask } = rig();
    limit.limited(8_000, ask());
    expect(limit.refusal(25_000)).toBeUndefined();
    expect(limit.refusal(25_000, 34)).toBeUndefined();
    expect(limit.refusal(25_000, 35)).toMatchObject({ kind: 'rateLimited', upstream: 'hub', retryAfterMs: 25_500 });
    await clock.advance(2_000);
    expect(limit.error()).toMatchObject({ kind: 'rateLimited', retryAfterMs: 6_000 });
  });

  it.each([
    [10_001, 10_001],
    [60_000, 60_000],
    [600_000, 600_000],
    [3_600_000, 600_000],
  ])('a 429 with %i ms is a hold for %i ms: nobody asks, then one for all', async (retryAfterMs, heldMs) => {
    const { clock, limit, ask, waitMs } = rig();
    limit.limited(retryAfterMs, ask());
    expect(waitMs()).toBe(heldMs);
    await clock.advance(heldMs - 1);
    expect([limit.isOn, waitMs()]).toEqual([true, 1]);
    await clock.advance(1);
    ask();
    expect(waitMs()).toBe(10_000);
    limit.answered();
    expect([limit.isOn, limit.opensAtMs]).toEqual([false, -Infinity]);
  });

  it('an answer to what was under way does not end a hold', async () => {
    const { clock, limit, ask } = rig();
    ask();
    limit.limited(60_000, ask());
    await clock.advance(1_000);
    limit.answered();
    expect(limit.isOn).toBe(true);
    await clock.advance(59_000);
    limit.limited(60_000, ask());
    expect(limit.opensAtMs - clock.monotonic()).toBe(60_000);
  });

  it('whatever comes, nobody is held for more than 10 minutes and a step, and an hour without a 429 ends it', async () => {
    const step = fc.oneof(
      fc.record({ kind: fc.constant('pass' as const), ms: fc.nat(20_000) }),
      fc.record({ kind: fc.constant('answer' as const), ms: fc.nat(20_000) }),
      fc.record({
        kind: fc.constant('limit' as const),
        ms: fc.nat(20_000),
        retryAfterMs: fc.option(fc.nat(4_000_000)),
      }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
        const { clock, limit, ask, waitMs } = rig();
        let sentMs = 0;
        for (const one of steps) {
          await clock.advance(one.ms);
          if (one.kind === 'pass') sentMs = ask();
          else if (one.kind === 'answer') limit.answered();
          else limit.limited(one.retryAfterMs ?? undefined, sentMs);
          expect(waitMs()).toBeLessThanOrEqual(610_000);
        }
        await clock.advance(3_600_000);
        expect(waitMs()).toBe(0);
        ask();
        limit.answered();
        expect(limit.isOn).toBe(false);
      }),
    );
  });
});
