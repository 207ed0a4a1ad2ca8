import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { UpstreamError, type UpstreamErrorKind } from '../../src/upstream/errors.ts';
import { Breaker } from '../../src/upstream/limits.ts';
import { FakeClock } from '../support/fake-clock.ts';

function setUp(random = 0): { clock: FakeClock; breaker: Breaker; changes: boolean[] } {
  const clock = new FakeClock();
  const changes: boolean[] = [];
  const onChange = (isOpen: boolean): void => void changes.push(isOpen);
  return { clock, changes, breaker: new Breaker({ upstream: 'test', clock, onChange, random: () => random }) };
}

function errorOf(kind: UpstreamErrorKind, retryAfterMs?: number): UpstreamError {
  return new UpstreamError(kind, kind, { upstream: 'test', ...(retryAfterMs !== undefined && { retryAfterMs }) });
}

/** The error that `enter` throws. */
function refusal(breaker: Breaker): UpstreamError {
  try {
    breaker.enter().abandoned();
  } catch (error) {
    if (error instanceof UpstreamError) return error;
  }
  throw new Error('the breaker let somebody in');
}

describe('breaker', () => {
  it.each(['unreachable', 'tls', 'timeout', 'rateLimited', 'credentialRefused'] as const)('opens on %s', (kind) => {
    const { breaker, changes } = setUp();
    breaker.enter().failed(errorOf(kind));
    expect(refusal(breaker)).toMatchObject({ kind: 'breakerOpen', upstream: 'test', retryAfterMs: 5000 });
    expect(changes).toEqual([true]);
  });

  it.each(['serverError', 'badResponse'] as const)('opens on %s three times in a row', (kind) => {
    const { breaker } = setUp();
    breaker.enter().failed(errorOf(kind));
    breaker.enter().failed(errorOf(kind));
    breaker.enter().succeeded();
    breaker.enter().failed(errorOf(kind));
    breaker.enter().failed(errorOf(kind));
    expect(breaker.isOpen).toBe(false);
    breaker.enter().failed(errorOf(kind));
    expect(breaker.isOpen).toBe(true);
  });

  it.each(['notFound', 'denied', 'cut', 'aborted', 'redirectRefused', 'tooLarge', 'rangeRefused'] as const)(
    'does not mind %s',
    (kind) => {
      const { breaker, changes } = setUp();
      for (let i = 0; i < 10; i++) breaker.enter().failed(errorOf(kind));
      expect(breaker.isOpen).toBe(false);
      expect(changes).toEqual([]);
    },
  );

  it('lets one probe through after 5 s, then waits twice as long each time, 60 s at most', async () => {
    const { breaker, clock } = setUp();
    breaker.enter().failed(errorOf('unreachable'));
    for (const pauseMs of [5000, 10_000, 20_000, 40_000, 60_000, 60_000]) {
      expect(refusal(breaker).retryAfterMs).toBe(pauseMs);
      await clock.advance(pauseMs - 1);
      expect(refusal(breaker).kind).toBe('breakerOpen');
      await clock.advance(1);
      const probe = breaker.enter();
      expect(refusal(breaker)).toMatchObject({ kind: 'breakerOpen', retryAfterMs: 1000 });
      probe.failed(errorOf('serverError'));
    }
  });

  it('closes when the probe is answered, and forgets how long it had waited', async () => {
    const { breaker, clock, changes } = setUp();
    breaker.enter().failed(errorOf('unreachable'));
    await clock.advance(5000);
    breaker.enter().failed(errorOf('unreachable'));
    await clock.advance(10_000);
    breaker.enter().succeeded();
    expect(changes).toEqual([true, false]);
    breaker.enter().failed(errorOf('unreachable'));
    expect(refusal(breaker).retryAfterMs).toBe(5000);
  });

  it('lets the next probe through when the first was given up by its caller', async () => {
    const { breaker, clock } = setUp();
    breaker.enter().failed(errorOf('timeout'));
    await clock.advance(5000);
    const first = breaker.enter();
    first.abandoned();
    const second = breaker.enter();
    first.failed(errorOf('timeout'));
    second.succeeded();
    expect(breaker.isOpen).toBe(false);
  });

  it('closes on a late answer, and a late failure does not count as a probe', async () => {
    const { breaker } = setUp();
    const [late, later, latest] = [breaker.enter(), breaker.enter(), breaker.enter()];
    breaker.enter().failed(errorOf('unreachable'));
    late.failed(errorOf('unreachable'));
    later.failed(errorOf('unreachable'));
    expect(refusal(breaker).retryAfterMs).toBe(5000);
    latest.succeeded();
    expect(breaker.isOpen).toBe(false);
  });

  it('honours Retry-After on 429 and 5xx, for an hour at most', () => {
    for (const [kind, askedMs, expectedMs] of [
      ['rateLimited', 90_000, 90_000],
      ['serverError', 30_000, 30_000],
      ['rateLimited', 0, 5000],
      ['rateLimited', 10 ** 12, 3_600_000],
    ] as const) {
      const { breaker } = setUp();
      breaker.enter().failed(errorOf(kind, askedMs));
      expect(refusal(breaker).retryAfterMs).toBe(expectedMs);
    }
  });

  it('spreads the return upwards, never before it was asked to', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 4_000_000 }),
        fc.double({ min: 0, max: 0.999, noNaN: true }),
        (asked, random) => {
          const { breaker } = setUp(random);
          breaker.enter().failed(errorOf('rateLimited', asked));
          const waitMs = refusal(breaker).retryAfterMs ?? 0;
          const wantedMs = Math.max(5000, Math.min(asked, 3_600_000));
          expect(waitMs).toBeGreaterThanOrEqual(wantedMs);
          expect(waitMs).toBeLessThanOrEqual(wantedMs * 1.1);
        },
      ),
    );
  });

  it('under any history, at most one probe is out while it is open', async () => {
    const step = fc.constantFrom('enter', 'succeed', 'fail', 'abandon', 'wait');
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
        const { breaker, clock } = setUp();
        breaker.enter().failed(errorOf('unreachable'));
        const out: ReturnType<Breaker['enter']>[] = [];
        for (const each of steps) {
          if (each === 'wait') await clock.advance(5000);
          const permit = each === 'wait' || each === 'enter' ? undefined : out.shift();
          if (each === 'succeed') permit?.succeeded();
          if (each === 'fail') permit?.failed(errorOf('unreachable'));
          if (each === 'abandon') permit?.abandoned();
          if (each !== 'enter') continue;
          const wasOpen = breaker.isOpen;
          try {
            out.push(breaker.enter());
            if (wasOpen) expect(() => breaker.enter()).toThrow(UpstreamError);
          } catch (error) {
            expect(error).toMatchObject({ kind: 'breakerOpen' });
          }
        }
      }),
      { numRuns: 60 },
    );
  });
});
