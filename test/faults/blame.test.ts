import fc from 'fast-check';
import { expect, it } from 'vitest';
import { sickUpstream } from '../upstream/support/random-sickness.ts';
import { simulate } from '../upstream/support/sick-upstream.ts';
import { countOf } from './support/tier.ts';

const upstreams = countOf('FAULTS_UPSTREAMS', 2_500, 10_000);

it(`${upstreams} random upstreams, each with sick parts, have served everything healthy after 60 s`, async () => {
  let runs = 0;
  await fc.assert(
    fc.asyncProperty(sickUpstream, async (things) => {
      runs++;
      expect((await simulate(things)).unserved).toEqual([]);
    }),
    { numRuns: upstreams },
  );
  expect(runs).toBe(upstreams);
}, 3_600_000);
