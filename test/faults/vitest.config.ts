/**
 * Faults that need more of the machine than `npm test` may ask for: the superuser, strace, perl and ext4 tools. Run by
 * `npx vitest run --config test/faults/vitest.config.ts`; what is missing fails the run, nothing is skipped.
 */
import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/faults/**/*.fault.ts'],
    pool: 'forks',
    fileParallelism: false,
    testTimeout: 300_000,
    hookTimeout: 60_000,
  },
});
