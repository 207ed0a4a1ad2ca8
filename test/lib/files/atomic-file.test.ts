import { mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { writeFileAtomic } from '../../../src/lib/files/atomic-file.ts';

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'weir-atomic-'));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

describe('atomic file', () => {
  it.each([true, false])('creates and replaces a file and leaves nothing else (fsync %j)', async (fsync) => {
    const path = join(directory, 'index.json');
    await writeFileAtomic(path, 'old', { fsync });
    await writeFileAtomic(path, Buffer.from('new'), { fsync, mode: 0o600 });
    expect(await readFile(path, 'utf8')).toBe('new');
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect(await readdir(directory)).toEqual(['index.json']);
  });

  it('never shows a reader anything but whole contents', async () => {
    const path = join(directory, 'file');
    const contents = ['a', 'b'].map((letter) => letter.repeat(200_000));
    await writeFileAtomic(path, contents[0] ?? '', { fsync: false });
    let reads = 0;
    let isWriting = true;
    const reading = (async () => {
      while (isWriting) {
        const text = await readFile(path, 'utf8');
        expect(contents.includes(text)).toBe(true);
        reads++;
      }
    })();
    for (let i = 0; i < 50; i++) await writeFileAtomic(path, contents[i % 2] ?? '', { fsync: false });
    isWriting = false;
    await reading;
    expect(reads).toBeGreaterThan(0);
  });

  it('replaces a link, not what it points to', async () => {
    const outside = join(directory, 'outside');
    await writeFile(outside, 'untouched');
    await symlink(outside, join(directory, 'link'));
    await writeFileAtomic(join(directory, 'link'), 'new');
    expect(await readFile(outside, 'utf8')).toBe('untouched');
    expect(await readFile(join(directory, 'link'), 'utf8')).toBe('new');
  });

  it('keeps the old state when it cannot replace, and removes its temporary file', async () => {
    await mkdir(join(directory, 'taken', 'full'), { recursive: true });
    await expect(writeFileAtomic(join(directory, 'taken'), 'x')).rejects.toMatchObject({
      code: /EISDIR|ENOTEMPTY|EEXIST/,
    });
    expect(await readdir(directory)).toEqual(['taken']);
    await expect(writeFileAtomic(join(directory, 'missing', 'x'), 'x')).rejects.toMatchObject({ code: 'ENOENT' });
  });
});
