/** What others do to the root's files while weir runs, and no pull may suffer from. */
import { chmodSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { expect, it } from 'vitest';
import { runProgram } from './support/program.ts';
import { mib, Stage } from './support/stage.ts';

async function pull(stage: Stage, path: string): Promise<readonly [status: number, bytes: number, how: string]> {
  const response = await fetch(`${stage.weir.url}${path}`, { signal: AbortSignal.timeout(15_000) });
  const { byteLength } = await response.arrayBuffer();
  return [response.status, byteLength, response.headers.get('cache-status') ?? ''];
}

it('a blob whose file may not be read is fetched once more, and is a hit again', async () => {
  await using stage = await Stage.set({}, {}, { obeysModes: true });
  const { weir, upstream } = stage;
  const sizes = [1000, 4 * mib];
  const blobs = sizes.map((bytes) => stage.addBlob(bytes));
  for (const { path } of blobs) expect((await pull(stage, path))[2]).toContain('fwd=miss');
  await weir.idle();
  for (const { digest } of blobs) chmodSync(join(weir.root, 'blobs', digest.replace(':', '/')), 0o000);
  // Neither a descriptor that is open nor an answer in memory.
  await weir.stop();
  await weir.start();
  // The first one is found out when it is opened, behind a head that promised a hit.
  for (let round = 0; round < 2; round++) {
    for (const [index, { path }] of blobs.entries()) {
      expect((await pull(stage, path)).slice(0, 2)).toEqual([200, sizes[index]]);
    }
    await weir.idle();
  }
  for (const { path } of blobs) expect((await pull(stage, path))[2]).toContain('hit');
  const gets = upstream.matching({ kind: 'blob', method: 'GET' }).map(({ reference }) => reference);
  for (const { digest } of blobs) expect(gets.filter((each) => each === digest)).toHaveLength(2);
});

it('a catalog that another process has locked costs no hit, and no pull of something new', async () => {
  await using stage = await Stage.set();
  const { weir } = stage;
  const [old, fresh] = [stage.addBlob(mib), stage.addBlob(2 * mib)];
  await pull(stage, old.path);
  await weir.idle();
  // After a start nothing is remembered.
  await weir.stop();
  await weir.start();
  const other = new DatabaseSync(join(weir.root, 'weir', 'catalog.db'));
  other.exec('BEGIN EXCLUSIVE');
  try {
    expect(await pull(stage, old.path)).toEqual([200, mib, expect.stringContaining('hit')]);
    expect((await pull(stage, fresh.path)).slice(0, 2)).toEqual([200, 2 * mib]);
    await weir.idle();
    expect(await pull(stage, fresh.path)).toEqual([200, 2 * mib, expect.stringContaining('hit')]);
  } finally {
    other.exec('ROLLBACK');
    other.close();
  }
});

it('a directory in the root that is closed to this user is named by serve and doctor, and what is here is served', async () => {
  await using stage = await Stage.set({}, {}, { obeysModes: true });
  const { weir } = stage;
  const [old, fresh] = [stage.addBlob(mib), stage.addBlob(2 * mib)];
  await pull(stage, old.path);
  await weir.idle();
  await weir.stop();
  const closed = join(weir.root, 'blobs', 'sha256');
  chmodSync(closed, 0o555);
  try {
    await weir.start();
    expect(weir.tail(10_000)).toMatch(/"level":"warn".*blobs\/sha256.*cannot write to a part of the cache root/);
    expect(await pull(stage, old.path)).toEqual([200, mib, expect.stringContaining('hit')]);
    expect((await pull(stage, fresh.path)).slice(0, 2)).toEqual([200, 2 * mib]);
    await weir.stop();
    const directory = dirname(weir.root);
    const doctor = ['doctor', '--config', join(directory, 'weir.yaml')];
    const { code, out } = await runProgram(doctor, { cwd: directory, obeysModes: true });
    expect(out).toMatch(
      /fail +cache.root directory: .*blobs\/sha256 belongs to user \d+; user \d+ cannot write to it: EACCES/,
    );
    expect(code).not.toBe(0);
  } finally {
    chmodSync(closed, 0o755);
  }
});

it('a lock that is closed to this user is named', async () => {
  await using stage = await Stage.set({}, {}, { obeysModes: true });
  const { weir } = stage;
  await weir.stop();
  chmodSync(join(weir.root, 'weir', 'lock'), 0o000);
  const serve = ['serve', '--config', join(dirname(weir.root), 'weir.yaml')];
  const { code, err } = await runProgram(serve, { cwd: weir.root, obeysModes: true });
  expect([code, err]).toEqual([expect.any(Number), expect.stringMatching(/EACCES.*weir\/lock/)]);
  expect(code).not.toBe(0);
});
