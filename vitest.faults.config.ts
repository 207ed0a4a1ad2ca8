import { defineConfig } from 'vitest/config';

/**
 * The daemon as a process under load and under faults (`*.test.ts`), and the store on disks that fail (`*.fault.ts`, which
 * need the superuser, strace, perl and ext4 tools). One file at a time, because they measure; nothing is skipped.
 */
export default defineConfig({
  test: {
    include: ['test/faults/**/*.{test,fault}.ts'],
    globalSetup: 'test/faults/support/build.ts',
    pool: 'forks',
    fileParallelism: false,
    testTimeout: 300_000,
    hookTimeout: 60_000,
  },
});
