import { chmod } from 'node:fs/promises';
import { describe, expect, it, vi } from 'vitest';
import { SharedFile } from '../../../src/store/files/open-files.ts';
import { tempDirectory } from '../../support/temp.ts';
import { readRange } from '../contract.ts';
import { startChild } from '../support/child.ts';
import { content, openTestStore } from '../support/harness.ts';

describe('a stored blob that cannot be read', () => {
  it('because it may not be opened is absent, said once, counted, and replaced by what is fetched', async () => {
    await using temp = await tempDirectory('unreadable');
    await chmod(temp.path, 0o777);
    await using child = startChild('unreadable-child.ts', [temp.path]);
    expect(await child.line('closed to us')).toEqual({
      event: 'closed to us',
      before: 17,
      isOpened: false,
      isThere: false,
    });
    expect(await child.line('told')).toMatchObject({
      complaints: ['a stored blob cannot be read; it is fetched anew'],
      unreadable: 1,
    });
    expect(await child.line('stored anew')).toMatchObject({ bytes: 'not for everybody' });
    expect(await child.ended()).toBe(0);
  });

  it('because the disk fails under it is absent from then on, and gets another chance a minute later', async () => {
    await using temp = await tempDirectory('unreadable');
    await using opened = await openTestStore(temp.path);
    const { bytes, digest } = content();
    await opened.store.put(digest, bytes);
    const broken = vi.spyOn(SharedFile.prototype, 'reader').mockImplementationOnce(function (this: SharedFile) {
      return {
        read: () => Promise.reject(Object.assign(new Error('input/output error'), { code: 'EIO' })),
        close: () => this.release(),
      };
    });
    const blob = await opened.store.open(digest);
    broken.mockRestore();
    await expect(blob?.read(Buffer.alloc(10), 0, 10, 0)).rejects.toThrow('input/output error');
    await blob?.close();
    expect(await opened.store.stat(digest)).toBeUndefined();
    expect(await opened.store.open(digest)).toBeUndefined();
    expect(opened.metadata.blobs.get(digest)).toBeDefined();
    await opened.clock.advance(60_000);
    await using again = await opened.store.open(digest);
    expect(await readRange(again, 0, 1000)).toEqual(bytes);
    expect(opened.logger.complaints()).toEqual(['a stored blob cannot be read; it is fetched anew']);
    await opened.recovered;
  });
});
