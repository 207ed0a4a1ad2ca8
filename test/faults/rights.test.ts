/** The walk of `test/cache/rights-oracle.test.ts`, 10^5 steps: nothing private is given, and nothing refused that must be served. */
import { expect, it } from 'vitest';
import { walk } from '../cache/support/rights-oracle.ts';

const walks = 100;
const steps = 1000;

it(`${walks} walks of ${steps} steps give nothing private, and refuse nothing`, async () => {
  for (let seed = 1; seed <= walks; seed++) expect(await walk(1000 + seed, steps)).toBeUndefined();
}, 7_200_000);
