import { execFileSync } from 'node:child_process';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { storePaths } from '../../../src/store/files/paths.ts';
import { lockRoot } from '../../../src/store/root/lock.ts';
import { type TempDirectory, tempDirectory } from '../../support/temp.ts';
import { rejects } from '../contract.ts';
import { startChild } from '../support/child.ts';
import { openTestStore } from '../support/harness.ts';

describe('the lock of a cache root', () => {
  it('refuses a second daemon, in another process and in this one, and names the root', async () => {
    await using temp = await tempDirectory('lock');
    await using holder = startChild('open-child.ts', [temp.path]);
    await holder.line('open');
    const error = await rejects(openTestStore(temp.path), 'locked');
    expect(error.message).toContain(temp.path);
    expect(error.message).toMatch(/in use by another weir; stop that one, or give this one a root of its own/);
    await using second = startChild('open-child.ts', [temp.path]);
    expect(await second.line('refused')).toMatchObject({ kind: 'locked' });

    await using other = await tempDirectory('lock');
    await using here = await openTestStore(other.path);
    await rejects(openTestStore(other.path), 'locked');
    await using third = startChild('open-child.ts', [other.path]);
    expect(await third.line('refused')).toMatchObject({ kind: 'locked' });
    await here.recovered;
  });

  it('is free after kill -9, and after an orderly stop', async () => {
    await using temp = await tempDirectory('lock');
    await using killed = startChild('open-child.ts', [temp.path]);
    expect(await killed.line('open')).toMatchObject({ wasClean: false });
    killed.process.kill('SIGKILL');
    expect(await killed.ended()).toBe('SIGKILL');
    await using stopped = startChild('open-child.ts', [temp.path]);
    expect(await stopped.line('open')).toMatchObject({ wasClean: false });
    stopped.process.kill('SIGTERM');
    expect(await stopped.ended()).toBe(0);
    await using opened = await openTestStore(temp.path);
    expect(opened.wasClean).toBe(true);
  });

  it('is a file: what else has its name is refused by that name', async () => {
    for (const make of [(path: string) => mkdir(path), (path: string) => void execFileSync('mkfifo', [path])]) {
      await using temp = await tempDirectory('lock');
      await mkdir(temp.file('weir'));
      await make(temp.file('weir', 'lock'));
      const error = await rejects(openTestStore(temp.path), 'layout');
      expect(error.message).toContain(`${temp.file('weir', 'lock')} is no file; remove it`);
    }
  });

  it('is released by a refused start', async () => {
    await using temp = await tempDirectory('lock');
    await (await openTestStore(temp.path)).close();
    await writeFile(temp.file('weir', 'version'), '999\n');
    await rejects(openTestStore(temp.path), 'layout');
    await writeFile(temp.file('weir', 'version'), '1\n');
    await using opened = await openTestStore(temp.path);
    await opened.recovered;
  });

  for (const [what, garbage] of [
    ['text', Buffer.from('12345\n')],
    ['a page of noise', Buffer.alloc(4096, 0xa5)],
    ['a torn SQLite header', Buffer.from('SQLite format 3\0')],
  ] as const) {
    it(`works with ${what} in the lock file`, async () => {
      await using temp = await lockDirectory();
      const paths = storePaths(temp.path);
      await writeFile(paths.lock, garbage);
      const lock = lockRoot(paths);
      expect(() => lockRoot(paths)).toThrow(/in use by another weir/);
      lock.release();
      lock.release();
      lockRoot(paths).release();
    });
  }

  it('says so when the root cannot be locked at all', async () => {
    await using temp = await lockDirectory();
    await rm(storePaths(temp.path).own, { recursive: true });
    expect(() => lockRoot(storePaths(temp.path))).toThrow(expect.objectContaining({ kind: 'sick' }));
  });
});

async function lockDirectory(): Promise<TempDirectory> {
  const temp = await tempDirectory('lock');
  await mkdir(storePaths(temp.path).own);
  return temp;
}
