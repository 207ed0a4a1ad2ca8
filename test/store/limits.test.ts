import { readdir } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { tempDirectory } from '../support/temp.ts';
import { startChild } from './support/child.ts';
import { ingestNames, openTestStore } from './support/harness.ts';

describe('a store at its limits', () => {
  it('says full when a file may not grow, keeps serving, and stores what fits', async () => {
    await using temp = await tempDirectory('limits');
    await using child = startChild('limited-child.ts', [temp.path, 'file size'], 'ulimit -f 2048;');
    expect(await child.line('large')).toMatchObject({ write: 'full' });
    expect(await child.line('kept')).toMatchObject({ keep: 'done' });
    expect(await child.line('put')).toMatchObject({ put: 'full', usage: { blobs: 1, zombieBytes: 0 } });
    // The catalog's log had to stop growing as well: that is a log line, not an end.
    const { complaints, hit } = await child.line('catalog');
    expect(complaints).toEqual(['the catalog cannot be read or written; weir goes on without']);
    expect(hit).toBe(true);
    expect(await child.line('after')).toMatchObject({ put: 'done' });
    await child.line('closed');
    expect(await child.ended()).toBe(0);
    expect(await readdir(temp.file('blobs', 'sha256'))).toHaveLength(2);
    // The kept partial, nothing of the failed put.
    expect(await ingestNames(temp.path)).toHaveLength(2);
    await using opened = await openTestStore(temp.path);
    expect(await opened.recovered).toMatchObject({ isComplete: true, blobs: 2, partials: 1 });
  });

  it('says sick when descriptors run out, and works again when some are free', async () => {
    await using temp = await tempDirectory('limits');
    await using child = startChild('limited-child.ts', [temp.path, 'descriptors'], 'ulimit -n 64;');
    expect((await child.line('opened'))['kinds']).toEqual(['done', 'sick']);
    expect(await child.line('starved')).toMatchObject({ ingest: 'sick' });
    expect(await child.line('after')).toMatchObject({ put: 'done', hit: true });
    await child.line('closed');
    expect(await child.ended()).toBe(0);
  });
});
