/**
 * The walk of `test/cache/rights-oracle.test.ts` from other seeds: nothing private is ever given. 20,000 steps, or as many
 * thousands as FAULTS_WALKS says.
 */
import { expect, it } from 'vitest';
import { walk } from '../cache/support/rights-oracle.ts';

const walks = Number(process.env['FAULTS_WALKS'] ?? 20);
const steps = 1000;

it(`${walks} walks of ${steps} steps give nothing private`, async () => {
  expect(walks).toBeGreaterThan(0);
  for (let seed = 1; seed <= walks; seed++) expect(await walk(1000 + seed, steps, true)).toBeUndefined();
}, 7_200_000);
