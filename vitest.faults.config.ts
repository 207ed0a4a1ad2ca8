import { defineConfig } from 'vitest/config';

/** The daemon as a process under load and under faults: one file at a time, because they measure. */
export default defineConfig({
  test: {
    include: ['test/faults/**/*.test.ts'],
    globalSetup: 'test/faults/support/build.ts',
    pool: 'forks',
    fileParallelism: false,
    testTimeout: 300_000,
    hookTimeout: 60_000,
  },
});
