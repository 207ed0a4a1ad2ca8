import { defineConfig } from 'vitest/config';

const suites = 'test/faults/**/*.{test,fault}.ts';
/** What these find does not depend on what else the machine does; all others measure, and have it to themselves. */
const together = [
  'attack-root',
  'bad-config',
  'bad-requests',
  'blame',
  'catalog',
  'damage',
  'evil-answers',
  'evil-bytes',
  'evil-redirects',
  'hostile-root',
  'kill',
  'rights',
  'secrets',
  'store-disk',
  'store-foreign',
  'store-syscalls',
].map((name) => `test/faults/${name}.{test,fault}.ts`);

/**
 * The daemon as a process under load and under faults (`*.test.ts`), and the store on disks that fail (`*.fault.ts`, which
 * need the superuser, strace, perl and ext4 tools). Two files at a time, then those that measure, one at a time; nothing is
 * skipped.
 */
export default defineConfig({
  test: {
    globalSetup: 'test/faults/support/build.ts',
    pool: 'forks',
    testTimeout: 300_000,
    hookTimeout: 60_000,
    projects: [
      {
        extends: true,
        test: { name: 'together', include: together, maxWorkers: 2, sequence: { groupOrder: 0 } },
      },
      {
        extends: true,
        test: {
          name: 'alone',
          include: [suites],
          exclude: together,
          fileParallelism: false,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
