/**
 * The walk of `test/cache/visibility/oracle.test.ts` from other seeds: nothing private is ever given. As many
 * thousands of steps as FAULTS_WALKS says: 4, or 20 with FAULTS_LONG.
 */
import { expect, it } from 'vitest';
import { walk } from '../cache/support/rights-oracle.ts';
import { countOf } from './support/tier.ts';

const walks = countOf('FAULTS_WALKS', 4, 20);
const steps = 1000;

it(`${walks} walks of ${steps} steps give nothing private`, async () => {
  for (let seed = 1; seed <= walks; seed++) expect(await walk(1000 + seed, steps, true)).toBeUndefined();
}, 7_200_000);
