/**
 * Upstreams with rights, credentials that come, go and change, `access`, restarts, lost catalogs, outages and offline, in
 * random order: nothing private is ever given, and nothing is refused that must be served. `npm run faults` walks farther.
 */
import { expect, it } from 'vitest';
import { walk } from '../support/rights-oracle.ts';

const steps = 600;

it.each([1, 2, 3])(
  `a walk of ${steps} steps from seed %i gives nothing private, and refuses nothing`,
  async (seed) => {
    expect(await walk(seed, steps)).toBeUndefined();
  },
  120_000,
);
