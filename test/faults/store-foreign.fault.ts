/** File systems that cannot do all that a local one can, and roots that lie on two of them. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { probeRoot } from '../../src/store/try-root.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { randomBytesOf } from '../support/byte-source.ts';
import { tempDirectory } from '../support/temp.ts';
import { blobFile, ingestNames, openTestStore } from '../store/support/harness.ts';

const program = join(import.meta.dirname, 'support', 'store-commit-child.ts');

async function run(inject: readonly string[], root: string): Promise<readonly Record<string, unknown>[]> {
  const options = inject.flatMap((what) => ['-e', `inject=${what}`]);
  const trace = ['-f', '-qq', '-o', '/dev/null', '-e', 'trace=link,linkat,fchmod', ...options];
  const child = spawn('strace', [...trace, process.execPath, program, root, 'foreign'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let text = '';
  child.stdout.on('data', (piece: Buffer) => (text += piece.toString()));
  await once(child, 'close');
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

it.each([
  ['links', ['link:error=EPERM'], ['hard links']],
  ['links, as FUSE says it', ['link:error=ENOSYS'], ['hard links']],
  ['modes', ['fchmod:error=EPERM'], ['chmod']],
  ['either', ['link:error=EOPNOTSUPP', 'fchmod:error=EOPNOTSUPP'], ['chmod', 'hard links']],
] as const)('a file system without %s keeps what it is given, and the log says so', async (_, inject, missing) => {
  await using temp = await tempDirectory('foreign');
  const bytes = randomBytesOf(100_000, 'foreign');
  const lines = await run(inject, temp.path);
  expect(lines.map(({ event }) => event)).toEqual(['opened', 'synced', 'adopted', 'closed']);
  const complaints = lines.at(-1)?.['complaints'] as readonly string[];
  expect(complaints).toHaveLength(missing.length);
  for (const [index, what] of missing.entries()) expect(complaints[index]).toContain(`has no ${what}`);
  expect(await readFile(blobFile(temp.path, digestOf(bytes)))).toEqual(bytes);
  expect(await ingestNames(temp.path)).toEqual([]);
  await using opened = await openTestStore(temp.path);
  await opened.recovered;
  expect(await opened.store.stat(digestOf(bytes))).toMatchObject({ isSuspect: false });
});

it('a volume mounted at blobs/ alone is an error at the start that names both devices', async () => {
  await using temp = await tempDirectory('foreign');
  await (await openTestStore(temp.path)).close();
  execFileSync('mount', ['-t', 'tmpfs', 'none', temp.file('blobs')]);
  try {
    const [line] = await run([], temp.path);
    expect(line).toMatchObject({ event: 'refused', kind: 'layout' });
    expect(line?.['message']).toMatch(/blobs\/sha256 is on another device \(\d+:\d+\) than .*ingest \(\d+:\d+\)/);
  } finally {
    execFileSync('umount', [temp.file('blobs')]);
  }
  expect(await readdir(temp.file('blobs', 'sha256'))).toEqual([]);
});

it.each(['blobs', 'weir/ingest'])(
  'the same device mounted again at %s is an error at the start that names both, and doctor says it',
  async (where) => {
    await using temp = await tempDirectory('foreign');
    const root = temp.file('root');
    await (await openTestStore(root)).close();
    const volume = temp.file('volume');
    await cp(join(root, where), volume, { recursive: true });
    execFileSync('mount', ['--bind', volume, join(root, where)]);
    try {
      const words = /blobs\/sha256 is mounted apart from .*weir\/ingest \(both of device \d+:\d+\)/;
      const [line] = await run([], root);
      expect(line).toMatchObject({ event: 'refused', kind: 'layout' });
      expect(line?.['message']).toMatch(words);
      const { state } = await probeRoot(root, new FakeClock());
      expect(state).toMatchObject({ kind: 'refused', reason: expect.stringMatching(words) });
      expect(await readdir(join(root, 'blobs', 'sha256'))).toEqual([]);
    } finally {
      execFileSync('umount', [join(root, where)]);
    }
    await (await openTestStore(root)).close();
    expect(await readdir(join(root, 'blobs', 'sha256'))).toEqual([]);
  },
);
