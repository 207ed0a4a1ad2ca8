import { type FileHandle, open, readdir, writeFile } from 'node:fs/promises';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { type IngestReader, StoreError } from '../../../src/store/contract/blob-store.ts';
import { expectNoLeaks, takeSnapshot } from '../../support/leaks.ts';
import { tempDirectory } from '../../support/temp.ts';
import { rejects } from '../contract.ts';
import { blobFile, content, dumpTree, ingestNames, openTestStore, type TestStore } from '../support/harness.ts';

type Step = 'sync' | 'datasync' | 'chmod' | 'stat' | 'writev';
const steps: readonly Step[] = ['sync', 'datasync', 'chmod', 'stat', 'writev'];

/** The class of all FileHandles, which node does not export. */
const handlePrototype = await (async (): Promise<FileHandle> => {
  await using handle = await open(import.meta.filename, 'r');
  return Object.getPrototypeOf(handle) as FileHandle;
})();

/** Lets the nth call of one operation on any file fail, once; tells whether it came to that. */
function failAt(step: Step, nth: number, code: string): { hasFailed: boolean } {
  const outcome = { hasFailed: false };
  const original = handlePrototype[step] as (this: FileHandle, ...args: unknown[]) => Promise<unknown>;
  let calls = 0;
  vi.spyOn(handlePrototype, step).mockImplementation(async function (this: FileHandle, ...args: unknown[]) {
    if (++calls !== nth) return (await original.apply(this, args)) as never;
    outcome.hasFailed = true;
    throw Object.assign(new Error(`${code}: injected`), { code });
  });
  return outcome;
}

/** A fill from the first byte to the last. */
async function fillOnce({ store }: TestStore, { digest, bytes }: ReturnType<typeof content>): Promise<void> {
  const ingest = await store.createIngest({ digest, upstream: 'u' });
  let reader: IngestReader | undefined;
  try {
    reader = await ingest.openReader();
    await ingest.write([bytes.subarray(0, 600)], 0);
    await ingest.sync([{ start: 0, end: 600 }], 1000);
    await ingest.write([bytes.subarray(600)], 600);
    await ingest.adopt(1000);
  } catch (error) {
    if (ingest.path !== undefined) await ingest.abort('given up');
    throw error;
  } finally {
    await reader?.close();
  }
}

afterEach(() => void vi.restoreAllMocks());

describe('a fill in which one step fails', () => {
  let cells = 0;
  for (const step of steps) {
    for (const code of ['EIO', 'ENOSPC']) {
      it(`(${step}, ${code}, at every call) stores the blob whole or leaves nothing, and the next one works`, async () => {
        await using temp = await tempDirectory('commit');
        await using opened = await openTestStore(temp.path);
        await opened.recovered;
        const before = takeSnapshot();
        let isUntouched = false;
        for (let nth = 1; !isUntouched; nth++) {
          const blob = content();
          const injected = failAt(step, nth, code);
          const error: unknown = await fillOnce(opened, blob).catch((thrown: unknown) => thrown);
          vi.restoreAllMocks();
          isUntouched = !injected.hasFailed;
          if (!isUntouched) cells++;
          const isStored = error === undefined;
          if (isUntouched) expect(isStored).toBe(true);
          if (!isStored) {
            if (!(error instanceof StoreError)) throw new Error('not a StoreError', { cause: error });
            expect(error.kind).toBe(code === 'ENOSPC' ? 'full' : 'sick');
          }
          expect((await opened.store.stat(blob.digest)) !== undefined, `${step} ${nth}`).toBe(isStored);
          expect((await readdir(temp.file('blobs', 'sha256'))).includes(blob.digest.slice(7))).toBe(isStored);
          expect(await ingestNames(temp.path), `${step} ${nth}\n${await dumpTree(temp.path)}`).toEqual([]);
          expect(opened.store.usage()).toMatchObject({ ingestBytes: 0, zombieBytes: 0 });
          await fillOnce(opened, blob);
          expect(await opened.store.stat(blob.digest)).toMatchObject({ isSuspect: false });
          expect(nth).toBeLessThan(50);
        }
        await expectNoLeaks(before);
      });
    }
  }

  it('was tried at every step there is', () => expect(cells).toBeGreaterThanOrEqual(2 * 11));
});

describe('a failed sync', () => {
  it('is final: the bytes are never adopted or kept, and its readers go on', async () => {
    for (const end of ['adopt', 'keep', 'sync'] as const) {
      await using temp = await tempDirectory('commit');
      await using opened = await openTestStore(temp.path);
      const { bytes, digest } = content();
      const ingest = await opened.store.createIngest({ digest, upstream: 'u' });
      await ingest.write([bytes], 0);
      const reader = await ingest.openReader();
      failAt('datasync', 1, 'EIO');
      const all = [{ start: 0, end: 1000 }];
      await rejects(ingest.sync(all, 1000), 'sick');
      vi.restoreAllMocks();
      if (end === 'adopt') await rejects(ingest.adopt(1000), 'sick');
      else if (end === 'keep') await rejects(ingest.keep(all, 1000), 'sick');
      else {
        await rejects(ingest.sync(all, 1000), 'sick');
        await ingest.abort('given up');
      }
      expect(await ingestNames(temp.path)).toEqual([]);
      expect(opened.store.partials()).toEqual([]);
      expect(await opened.store.stat(digest)).toBeUndefined();
      const buffer = Buffer.alloc(1000);
      expect(await reader.read(buffer, 0, 1000, 0)).toBe(1000);
      expect(buffer).toEqual(bytes);
      await reader.close();
    }
  });

  it('of the directory takes the name away again', async () => {
    await using temp = await tempDirectory('commit');
    await using opened = await openTestStore(temp.path);
    await opened.recovered;
    const { bytes, digest } = content();
    // The first sync is the file's own, the second the directory's.
    failAt('sync', 2, 'EIO');
    const error = await rejects(opened.store.put(digest, bytes), 'sick');
    expect(error.message).toBe(`storing ${digest} failed: EIO`);
    expect(await readdir(temp.file('blobs', 'sha256'))).toEqual([]);
    expect(opened.metadata.blobs.get(digest)).toBeUndefined();
    vi.restoreAllMocks();
    expect(blobFile(temp.path, digest)).toContain(digest.slice(7));
  });
});

/** A store in which a right blob was put that nobody has proved. */
async function withFoundBlob(
  work: (store: TestStore['store'], blob: ReturnType<typeof content>) => Promise<void>,
): Promise<void> {
  await using temp = await tempDirectory('commit');
  await using opened = await openTestStore(temp.path);
  await opened.recovered;
  const blob = content();
  await writeFile(blobFile(temp.path, blob.digest), blob.bytes);
  await work(opened.store, blob);
}

describe('proving a blob that was found', () => {
  it('makes it durable first: when that fails it stays suspect', () =>
    withFoundBlob(async (store, { digest }) => {
      // Its bytes, then its name.
      for (const nth of [1, 2]) {
        const injected = failAt('sync', nth, 'EIO');
        await rejects(store.prove(digest, 1000), 'sick');
        expect(injected.hasFailed).toBe(true);
        vi.restoreAllMocks();
        expect(await store.stat(digest)).toMatchObject({ isSuspect: true });
      }
      await store.prove(digest, 1000);
      expect(await store.stat(digest)).toMatchObject({ isSuspect: false });
    }));

  it('of another user takes what it can of that: the bytes are right, and the mode is not ours to change', () =>
    withFoundBlob(async (store, { digest }) => {
      const injected = failAt('chmod', 1, 'EPERM');
      await store.prove(digest, 1000);
      expect(injected.hasFailed).toBe(true);
      expect(await store.stat(digest)).toMatchObject({ isSuspect: false });
    }));

  it('is not needed to read it whole: right bytes are given also when it fails', () =>
    withFoundBlob(async (store, { digest, bytes }) => {
      const injected = failAt('sync', 1, 'EIO');
      expect(Buffer.from((await store.readAll(digest, 1000)) ?? []).equals(bytes)).toBe(true);
      expect(injected.hasFailed).toBe(true);
      expect(await store.stat(digest)).toMatchObject({ isSuspect: true });
    }));
});
