import fc from 'fast-check';
import { expect, it } from 'vitest';
import { sickUpstream } from '../upstream/support/random-sickness.ts';
import { simulate } from '../upstream/support/sick-upstream.ts';

it('10,000 random upstreams, each with sick parts, have served everything healthy after 60 s', async () => {
  let runs = 0;
  await fc.assert(
    fc.asyncProperty(sickUpstream, async (things) => {
      runs++;
      expect((await simulate(things)).unserved).toEqual([]);
    }),
    { numRuns: 10_000 },
  );
  expect(runs).toBe(10_000);
}, 3_600_000);
