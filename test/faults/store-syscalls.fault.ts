/** The commit path at the level of system calls: their order, and a fault at each of them in turn. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type Digest, digestOf } from '../../src/oci/digest.ts';
import { randomBytesOf } from '../support/byte-source.ts';
import { type TempDirectory, tempDirectory } from '../support/temp.ts';
import { blobFile, ingestNames, openTestStore, tagKey } from '../store/support/harness.ts';
import { isLong } from './support/tier.ts';

const program = join(import.meta.dirname, 'support', 'store-commit-child.ts');
const size = 100_000;

interface Traced {
  /** Exit code, or the signal's name. */
  readonly end: number | string;
  readonly events: readonly string[];
  readonly stderr: string;
}

/**
 * One pool thread: strace counts calls per thread, so "the nth" must mean the same in every run. Not with --seccomp-bpf,
 * which is faster, and with which strace 6.1 kills at the first call only.
 */
async function trace(options: readonly string[], root: string, seed: string): Promise<Traced> {
  const child = spawn('strace', ['-f', '-qq', ...options, process.execPath, program, root, seed], {
    env: { ...process.env, UV_THREADPOOL_SIZE: '1' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (text: Buffer) => (stdout += text.toString()));
  child.stderr.on('data', (text: Buffer) => (stderr += text.toString()));
  await once(child, 'close');
  const events = stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => (JSON.parse(line) as { event: string }).event);
  return { end: child.exitCode ?? child.signalCode ?? 'unknown', events, stderr };
}

/** A root that a daemon has made and left, so that the runs differ in the fault only. */
async function freshRoot(): Promise<TempDirectory> {
  const temp = await tempDirectory('syscalls');
  const opened = await openTestStore(temp.file('made'));
  await opened.recovered;
  await opened.close();
  return temp;
}

describe('the system calls of a commit', () => {
  it('come in the order that survives a power loss', async () => {
    await using temp = await freshRoot();
    const log = temp.file('strace.log');
    const calls = 'trace=fchmod,fsync,fdatasync,link,linkat,rename,renameat2,unlink,unlinkat,close';
    const { end, events } = await trace(['-y', '-o', log, '-e', calls], temp.file('made'), 'order');
    expect(end).toBe(0);
    expect(events).toEqual(['opened', 'synced', 'adopted', 'closed']);
    const hex = digestOf(randomBytesOf(size, 'order')).slice(7);
    const lines = (await readFile(log, 'utf8')).split('\n');
    const last = (pattern: string): number => lines.findLastIndex((line) => new RegExp(pattern).test(line));
    const first = (pattern: string, after = 0): number => {
      const found = lines.slice(after + 1).findIndex((line) => new RegExp(pattern).test(line));
      return found === -1 ? -1 : found + after + 1;
    };
    const named = first(`link\\(".*${hex}.*\\.part", ".*/blobs/sha256/${hex}"\\)\\s*= 0`);
    const steps = [
      ['the data is synced before the side file says so', first(`fdatasync\\(.*${hex}.*\\.part`)],
      ['the side file is synced', first(`fsync\\(.*${hex}.*\\.json.*\\.tmp`)],
      ['the side file gets its name', first(`rename\\(".*${hex}.*\\.tmp", ".*${hex}[^"]*\\.json"`)],
      ['the writer is closed', first(`close\\(.*${hex}.*\\.part>\\)`, first(`rename\\(".*${hex}`))],
      ['read-only', first(`fchmod\\(.*${hex}.*\\.part>, 0444\\)`)],
      ['the file is synced', first(`fsync\\(.*${hex}.*\\.part>\\)`)],
      ['it gets its name', named],
      ['the name is synced', first('fsync\\(\\d+<.*/blobs/sha256>\\)', named)],
      ['the ingest loses its name', first(`unlink\\(".*${hex}.*\\.part"\\)`, named)],
      ['the clean marker comes last', last('rename\\(".*/weir/clean\\..*\\.tmp"')],
    ] as const;
    for (const [what, line] of steps) expect(line, `${what}\n${lines.join('\n')}`).toBeGreaterThan(-1);
    const order = steps.map(([, line]) => line);
    expect(order).toEqual(order.toSorted((one, other) => one - other));
  });

  const sysCalls = ['link', 'fsync', 'fdatasync', 'rename', 'unlink', 'fchmod', 'pwrite64'] as const;
  const faults = ['signal=KILL', 'error=EIO', 'error=ENOSPC'] as const;
  let cells = 0;

  for (const call of sysCalls) {
    for (const fault of faults) {
      it(`may meet ${fault} at any ${call}: nothing wrong is visible, and the next start works`, async () => {
        await using temp = await freshRoot();
        const root = temp.file('root');
        let hits = 0;
        // Most writes are SQLite's own, one like the other.
        const chunkSize = isLong ? 4 : 12;
        for (let nth = 1; ; nth += call === 'pwrite64' && nth > 5 ? chunkSize : 1) {
          await rm(root, { recursive: true, force: true });
          await cp(temp.file('made'), root, { recursive: true, preserveTimestamps: true });
          const seed = `${call} ${fault} ${nth}`;
          const log = temp.file('strace.log');
          const run = await trace(
            ['-o', log, '-e', `trace=${call}`, '-e', `inject=${call}:${fault}:when=${nth}`],
            root,
            seed,
          );
          const wasHit = run.end === 'SIGKILL' || (await readFile(log, 'utf8')).includes('INJECTED');
          if (!wasHit) {
            expect(run, seed).toMatchObject({ end: 0, events: ['opened', 'synced', 'adopted', 'closed'] });
            expect(hits, `${call} was never called`).toBeGreaterThan(0);
            break;
          }
          cells++;
          hits++;
          const isKilled = fault === 'signal=KILL';
          expect(run.end, `${seed}: ${run.stderr}`).toBe(isKilled ? 'SIGKILL' : 0);
          if (!isKilled) expect(['closed', 'refused'], `${seed}: ${run.stderr}`).toContain(run.events.at(-1));
          await checkRoot(root, seed, run);
          expect(nth).toBeLessThan(1000);
        }
      });
    }
  }

  it('were enough of them', () => expect(cells).toBeGreaterThan(80));

  it('stay below the root', async () => {
    await using temp = await freshRoot();
    const log = temp.file('strace.log');
    await trace(['-o', log, '-e', 'trace=link,rename,unlink,mkdir,symlink,chmod,truncate'], temp.file('made'), 'paths');
    const paths = [...(await readFile(log, 'utf8')).matchAll(/"([^"]+)"/g)].map((match) => match[1] ?? '');
    expect(paths.length).toBeGreaterThan(5);
    for (const path of paths) expect(path.startsWith(temp.path), path).toBe(true);
  });
});

/** From outside first, then by a store that starts on what is there. */
async function checkRoot(root: string, seed: string, { events }: Traced): Promise<void> {
  const bytes = randomBytesOf(size, seed);
  const digest: Digest = digestOf(bytes);
  for (const hex of await readdir(join(root, 'blobs', 'sha256'))) {
    expect(digestOf(await readFile(join(root, 'blobs', 'sha256', hex))), seed).toBe(`sha256:${hex}`);
  }
  const wasAdopted = events.includes('adopted');
  const hasFailed = events.includes('failed');
  await using opened = await openTestStore(root);
  expect(await opened.recovered, seed).toMatchObject({ isComplete: true });
  const info = await opened.store.stat(digest);
  if (wasAdopted) expect(info, seed).toMatchObject({ sizeBytes: size });
  // A fill that was told that it failed is not there after all.
  if (hasFailed && !wasAdopted) expect(info, seed).toBeUndefined();
  if (opened.metadata.tags.get(tagKey('a', 'v1')) !== undefined) expect(info, seed).toBeDefined();
  const resumed = await opened.store.resumeIngest({ digest, upstream: 'u' });
  if (resumed !== undefined) {
    expect(resumed.resumed, seed).toEqual([{ start: 0, end: 60_000 }]);
    await resumed.abort('given up');
  }
  expect(await opened.store.put(digest, bytes), seed).toMatchObject({ isSuspect: false });
  expect(await readFile(blobFile(root, digest))).toEqual(bytes);
  expect(await ingestNames(root), seed).toEqual([]);
}

it('strace is here', () => {
  expect(execFileSync('strace', ['-V']).toString()).toContain('strace');
});
