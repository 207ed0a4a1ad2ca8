/**
 * What every blob store must do, as one list of tests that each implementation runs. A failing test names the promise;
 * its message ends with what the store held at that moment.
 */
import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Digest, digestOf } from '../../src/oci/digest.ts';
import {
  type BlobStore,
  type PositionalReader,
  StoreError,
  type StoreErrorKind,
} from '../../src/store/contract/blob-store.ts';
import type { Metadata } from '../../src/store/metadata/metadata.ts';
import type { FakeClock } from '../support/fake-clock.ts';
import { content } from './support/harness.ts';

export interface StoreUnderTest extends AsyncDisposable {
  readonly store: BlobStore;
  readonly metadata: Metadata;
  readonly clock: FakeClock;
  /** Puts bytes under a digest's name behind the store's back, as an unclean stop may leave them. */
  readonly plant: (digest: Digest, bytes: Uint8Array) => Promise<void>;
  /** What the store holds, for a person. */
  dump(): Promise<string>;
}

const upstream = 'docker.io';

export function storeContract(name: string, open: () => Promise<StoreUnderTest>): void {
  let promises = 0;
  const promise = (title: string, body: (under: StoreUnderTest) => Promise<void>): void => {
    promises++;
    it(title, async () => {
      await using under = await open();
      try {
        await body(under);
      } catch (error) {
        if (error instanceof Error) error.message += `\n\nThe store held:\n${await under.dump()}`;
        throw error;
      }
    });
  };

  describe(`${name} keeps the contract:`, () => {
    promise('what is not there is undefined to every question', async ({ store }) => {
      const { digest } = content();
      expect(await store.stat(digest)).toBeUndefined();
      expect(await store.open(digest)).toBeUndefined();
      expect(await store.readAll(digest, 10)).toBeUndefined();
      expect(await store.remove(digest)).toBeUndefined();
      expect(await store.resumeIngest({ digest, upstream })).toBeUndefined();
      expect(store.partials()).toEqual([]);
      expect(store.isOpen(digest)).toBe(false);
    });

    promise('small bytes that were put can be read, whole and by position', async ({ store }) => {
      const { bytes, digest } = content();
      expect(await store.put(digest, bytes)).toMatchObject({ digest, sizeBytes: 1000, isSuspect: false });
      expect(await store.stat(digest)).toMatchObject({ digest, sizeBytes: 1000, isSuspect: false });
      expect(Buffer.from((await store.readAll(digest, 1000)) ?? [])).toEqual(bytes);
      await using blob = await store.open(digest);
      expect(await readRange(blob, 990, 100)).toEqual(bytes.subarray(990));
      expect(await readRange(blob, 1000, 10)).toHaveLength(0);
    });

    promise('sha512 names and the empty blob are blobs like others', async ({ store }) => {
      const { bytes } = content();
      const long = digestOf(bytes, 'sha512');
      await store.put(long, bytes);
      expect(await store.stat(long)).toMatchObject({ sizeBytes: 1000, isSuspect: false });
      for (const algorithm of ['sha256', 'sha512'] as const) {
        const empty = digestOf('', algorithm);
        await store.put(empty, new Uint8Array(0));
        expect(await store.stat(empty)).toMatchObject({ sizeBytes: 0, isSuspect: false });
        expect(await store.readAll(empty, 0)).toHaveLength(0);
      }
      expect(store.usage().blobs).toBe(3);
    });

    promise('bytes that are not their digest are refused and leave nothing', async ({ store }) => {
      const { bytes, digest } = content();
      await rejects(store.put(digest, bytes.subarray(1)), 'mismatch');
      expect(await store.stat(digest)).toBeUndefined();
      expect(store.usage()).toMatchObject({ blobs: 0, ingestBytes: 0 });
    });

    promise('putting what is there is success and stores nothing twice', async ({ store }) => {
      const { bytes, digest } = content();
      await store.put(digest, bytes);
      const before = store.usage();
      expect(await store.put(digest, bytes)).toMatchObject({ digest, isSuspect: false });
      expect(store.usage()).toMatchObject({ blobs: before.blobs, blobBytes: before.blobBytes });
    });

    promise('a blob larger than the caller can take is refused before it is read', async ({ store }) => {
      const { bytes, digest } = content();
      await store.put(digest, bytes);
      await rejects(store.readAll(digest, 999), 'tooLarge');
      expect(store.isOpen(digest)).toBe(false);
    });

    promise('nothing is visible before adopt, all of it after', async ({ store }) => {
      const { bytes, digest } = content();
      const ingest = await store.createIngest({ digest, upstream });
      expect(ingest.resumed).toEqual([]);
      expect(ingest.claimedSizeBytes).toBeUndefined();
      await ingest.write([bytes.subarray(600)], 600);
      await ingest.write([bytes.subarray(0, 250), bytes.subarray(250, 600)], 0);
      expect(await store.stat(digest)).toBeUndefined();
      expect(await store.open(digest)).toBeUndefined();
      expect(store.usage().ingestBytes).toBeGreaterThanOrEqual(1000);
      expect(ingest.allocatedBytes()).toBeGreaterThanOrEqual(1000);
      expect(await ingest.adopt(1000)).toMatchObject({ digest, sizeBytes: 1000, isSuspect: false });
      expect(Buffer.from((await store.readAll(digest, 1000)) ?? [])).toEqual(bytes);
      expect(store.usage()).toMatchObject({ blobs: 1, ingestBytes: 0, zombieBytes: 0 });
      expect(store.usage().blobBytes).toBeGreaterThanOrEqual(1000);
    });

    promise('pieces may be written in any order and overlap in time', async ({ store }) => {
      await fc.assert(
        fc.asyncProperty(
          fc.uint8Array({ minLength: 1, maxLength: 3000 }),
          fc.array(fc.nat({ max: 3000 }), { maxLength: 6 }),
          fc.infiniteStream(fc.nat()),
          async (bytes, cuts, order) => {
            const digest = digestOf(bytes);
            const edges = [...new Set([0, ...cuts.filter((cut) => cut < bytes.length), bytes.length])].toSorted(
              (one, other) => one - other,
            );
            const pieces = edges
              .slice(1)
              .map((end, i) => ({ start: edges[i] ?? 0, end, rank: order.next().value ?? 0 }));
            const ingest = await store.createIngest({ digest, upstream });
            await Promise.all(
              pieces
                .toSorted((one, other) => one.rank - other.rank)
                .map(({ start, end }) => ingest.write([bytes.subarray(start, end)], start)),
            );
            await ingest.adopt(bytes.length);
            expect(Buffer.from((await store.readAll(digest, bytes.length)) ?? [])).toEqual(Buffer.from(bytes));
            await store.remove(digest);
          },
        ),
        { numRuns: 50 },
      );
      expect(store.usage()).toMatchObject({ blobs: 0, blobBytes: 0, ingestBytes: 0, zombieBytes: 0 });
    });

    promise('an ingest of another size than was proved is not adopted', async ({ store }) => {
      const { bytes, digest } = content();
      const ingest = await store.createIngest({ digest, upstream });
      await ingest.write([bytes], 0);
      await rejects(ingest.adopt(999), 'mismatch');
      expect(await store.stat(digest)).toBeUndefined();
      expect(store.usage()).toMatchObject({ blobs: 0, ingestBytes: 0 });
    });

    promise('adopting what exists is success, also at the same time', async ({ store }) => {
      const { bytes, digest } = content();
      const ingests = await Promise.all(['a', 'b', 'c'].map((key) => store.createIngest({ digest, upstream: key })));
      await Promise.all(ingests.map((ingest) => ingest.write([bytes], 0)));
      const infos = await Promise.all(ingests.map((ingest) => ingest.adopt(1000)));
      expect(infos).toHaveLength(3);
      for (const info of infos) expect(info).toMatchObject({ digest, sizeBytes: 1000, isSuspect: false });
      expect(store.usage()).toMatchObject({ blobs: 1, ingestBytes: 0, zombieBytes: 0 });
      expect(Buffer.from((await store.readAll(digest, 1000)) ?? [])).toEqual(bytes);
    });

    promise('a suspect file under the name gives way to a proved one', async ({ store, plant }) => {
      const { bytes, digest } = content();
      await plant(digest, randomBytes(1000));
      expect(await store.stat(digest)).toMatchObject({ isSuspect: true });
      const reader = await store.open(digest);
      const ingest = await store.createIngest({ digest, upstream });
      await ingest.write([bytes], 0);
      await ingest.adopt(1000);
      expect(await store.stat(digest)).toMatchObject({ isSuspect: false });
      expect(Buffer.from((await store.readAll(digest, 1000)) ?? [])).toEqual(bytes);
      // Its reader keeps what it had opened: a reader belongs to one file for life.
      expect(await readRange(reader, 0, 1000)).not.toEqual(bytes);
      expect(store.usage().zombieBytes).toBeGreaterThan(0);
      await reader?.close();
      expect(store.usage().zombieBytes).toBe(0);
    });

    promise('a kept partial is continued by one caller, from the same upstream', async ({ store }) => {
      const { bytes, digest } = content();
      const key = { digest, upstream };
      const first = await store.createIngest(key);
      await first.write([bytes.subarray(0, 300)], 0);
      await first.write([bytes.subarray(500, 600)], 500);
      const written = [
        { start: 0, end: 300 },
        { start: 500, end: 600 },
      ];
      await first.keep(written, 1000);
      expect(store.partials()).toMatchObject([{ key }]);
      expect(store.usage().ingestBytes).toBeGreaterThan(0);
      expect(await store.resumeIngest({ digest, upstream: 'ghcr.io' })).toBeUndefined();
      const [second, third] = await Promise.all([store.resumeIngest(key), store.resumeIngest(key)]);
      expect([second, third].filter((ingest) => ingest !== undefined)).toHaveLength(1);
      const ingest = second ?? third;
      expect(store.partials()).toEqual([]);
      expect(ingest?.resumed).toEqual(written);
      expect(ingest?.claimedSizeBytes).toBe(1000);
      const reader = await ingest?.openReader();
      expect(await readRange(reader, 500, 100)).toEqual(bytes.subarray(500, 600));
      await reader?.close();
      await ingest?.write([bytes.subarray(300, 500)], 300);
      await ingest?.write([bytes.subarray(600)], 600);
      await ingest?.adopt(1000);
      expect(Buffer.from((await store.readAll(digest, 1000)) ?? [])).toEqual(bytes);
      expect(store.usage()).toMatchObject({ blobs: 1, ingestBytes: 0 });
    });

    promise('of two partials of one key the one with more bytes stays', async ({ store }) => {
      const { bytes, digest } = content();
      const key = { digest, upstream };
      const [small, large] = [await store.createIngest(key), await store.createIngest(key)];
      await large.write([bytes.subarray(0, 900)], 0);
      await small.write([bytes.subarray(0, 100)], 0);
      await large.keep([{ start: 0, end: 900 }], undefined);
      await small.keep([{ start: 0, end: 100 }], undefined);
      expect(store.partials()).toHaveLength(1);
      const resumed = await store.resumeIngest(key);
      expect(resumed?.resumed).toEqual([{ start: 0, end: 900 }]);
      await resumed?.abort('given up');
      expect(store.usage().ingestBytes).toBe(0);
    });

    promise('partials are listed oldest first, and removed one by one', async ({ store, clock }) => {
      const keys = ['one', 'two', 'three'].map((text) => ({ digest: digestOf(text), upstream }));
      for (const key of keys) {
        const ingest = await store.createIngest(key);
        await ingest.write([Buffer.from('bytes')], 0);
        await ingest.keep([{ start: 0, end: 5 }], undefined);
        await clock.advance(1000);
      }
      expect(store.partials().map(({ key }) => key)).toEqual(keys);
      for (const { updatedAtMs, allocatedBytes } of store.partials()) {
        expect(updatedAtMs).toBeLessThan(clock.now());
        expect(allocatedBytes).toBeGreaterThanOrEqual(5);
      }
      for (const key of keys) await store.removePartial(key);
      expect(store.partials()).toEqual([]);
      expect(store.usage().ingestBytes).toBe(0);
    });

    promise('a partial without bytes is none', async ({ store }) => {
      const key = { digest: content().digest, upstream };
      const ingest = await store.createIngest(key);
      await ingest.keep([], 1000);
      expect(store.partials()).toEqual([]);
      expect(await store.resumeIngest(key)).toBeUndefined();
    });

    promise('an aborted ingest leaves nothing', async ({ store }) => {
      const { bytes, digest } = content();
      const ingest = await store.createIngest({ digest, upstream });
      await ingest.write([bytes], 0);
      await ingest.sync([{ start: 0, end: 1000 }], 1000);
      await ingest.abort('given up');
      expect(await store.stat(digest)).toBeUndefined();
      expect(await store.resumeIngest({ digest, upstream })).toBeUndefined();
      expect(store.usage()).toMatchObject({ blobs: 0, ingestBytes: 0, zombieBytes: 0 });
    });

    promise('an ingest ends once: everything after that is refused', async ({ store }) => {
      for (const end of ['adopt', 'keep', 'abort'] as const) {
        const { bytes, digest } = content();
        const ingest = await store.createIngest({ digest, upstream });
        await ingest.write([bytes], 0);
        if (end === 'adopt') await ingest.adopt(1000);
        else if (end === 'keep') await ingest.keep([{ start: 0, end: 1000 }], undefined);
        else await ingest.abort('given up');
        expect(ingest.path).toBeUndefined();
        await rejects(ingest.write([bytes], 0), 'sick');
        await rejects(ingest.openReader(), 'sick');
        await rejects(
          Promise.resolve().then(() => ingest.sync([], undefined)),
          'sick',
        );
        await rejects(ingest.adopt(1000), 'sick');
        await rejects(ingest.keep([], undefined), 'sick');
        await rejects(ingest.abort('given up'), 'sick');
      }
    });

    promise('readers follow an ingest while it is written, and outlive its end', async ({ store }) => {
      for (const end of ['adopt', 'keep', 'abort'] as const) {
        const { bytes, digest } = content();
        const ingest = await store.createIngest({ digest, upstream });
        const reader = await ingest.openReader();
        expect(await readRange(reader, 0, 10)).toHaveLength(0);
        await ingest.write([bytes.subarray(0, 400)], 0);
        expect(await readRange(reader, 100, 300)).toEqual(bytes.subarray(100, 400));
        await ingest.write([bytes.subarray(400)], 400);
        const late = await ingest.openReader();
        if (end === 'adopt') await ingest.adopt(1000);
        else if (end === 'keep') await ingest.keep([{ start: 0, end: 1000 }], undefined);
        else await ingest.abort('given up');
        for (const each of [reader, late]) expect(await readRange(each, 0, 1000)).toEqual(bytes);
        if (end === 'abort') expect(store.usage().zombieBytes).toBeGreaterThanOrEqual(1000);
        for (const each of [reader, late, reader]) await each.close();
        await rejects(reader.read(Buffer.alloc(1), 0, 1, 0), 'sick');
        expect(store.usage().zombieBytes).toBe(0);
      }
    });

    promise('a removed blob is gone at once, and its readers finish', async ({ store, metadata }) => {
      const { bytes, digest } = content();
      await store.put(digest, bytes);
      const [one, other] = [await store.open(digest), await store.open(digest)];
      expect(store.isOpen(digest)).toBe(true);
      const freed = await store.remove(digest);
      expect(freed).toBeGreaterThanOrEqual(1000);
      expect(await store.stat(digest)).toBeUndefined();
      expect(await store.open(digest)).toBeUndefined();
      expect(metadata.blobs.get(digest)).toBeUndefined();
      expect(store.isOpen(digest)).toBe(false);
      expect(store.usage()).toMatchObject({ blobs: 0, blobBytes: 0, zombieBytes: freed });
      expect(await readRange(one, 0, 1000)).toEqual(bytes);
      await one?.close();
      expect(store.usage().zombieBytes).toBe(freed);
      expect(await readRange(other, 0, 1000)).toEqual(bytes);
      await other?.close();
      expect(store.usage().zombieBytes).toBe(0);
    });

    promise('a blob that comes back while the old one is read is another file', async ({ store }) => {
      const { bytes, digest } = content();
      await store.put(digest, bytes);
      const old = await store.open(digest);
      await store.remove(digest);
      await store.put(digest, bytes);
      const fresh = await store.open(digest);
      const { zombieBytes } = store.usage();
      expect(zombieBytes).toBeGreaterThanOrEqual(1000);
      await fresh?.close();
      expect(store.usage().zombieBytes).toBe(zombieBytes);
      await old?.close();
      expect(store.usage()).toMatchObject({ blobs: 1, zombieBytes: 0 });
    });

    promise('what nobody has proved is suspect until it is proved', async ({ store, metadata, plant }) => {
      const { bytes, digest } = content();
      await plant(digest, bytes);
      expect(await store.stat(digest)).toMatchObject({ sizeBytes: 1000, isSuspect: true });
      expect(metadata.blobs.get(digest)).toMatchObject({ sizeBytes: 1000, isSuspect: true });
      await rejects(store.prove(digest, 999), 'mismatch');
      expect(await store.stat(digest)).toMatchObject({ isSuspect: true });
      await store.prove(digest, 1000);
      expect(await store.stat(digest)).toMatchObject({ isSuspect: false });
      await using blob = await store.open(digest);
      expect(blob?.info.isSuspect).toBe(false);
      await store.prove(content().digest, 5);
    });

    promise('a suspect blob is hashed before it is read whole', async ({ store, plant }) => {
      const right = content();
      await plant(right.digest, right.bytes);
      expect(Buffer.from((await store.readAll(right.digest, 1000)) ?? [])).toEqual(right.bytes);
      expect(await store.stat(right.digest)).toMatchObject({ isSuspect: false });
      const wrong = content();
      await plant(wrong.digest, randomBytes(1000));
      expect(await store.readAll(wrong.digest, 1000)).toBeUndefined();
      expect(await store.stat(wrong.digest)).toBeUndefined();
    });

    promise('no bytes under the name of a non-empty blob are a miss', async ({ store, plant }) => {
      const { digest } = content();
      await plant(digest, new Uint8Array(0));
      expect(await store.stat(digest)).toBeUndefined();
      await plant(digest, new Uint8Array(0));
      expect(await store.open(digest)).toBeUndefined();
    });

    promise('another size than was stored is a miss', async ({ store, plant, metadata }) => {
      const { bytes, digest } = content();
      await store.put(digest, bytes);
      await plant(digest, bytes.subarray(0, 500));
      expect(await store.open(digest)).toBeUndefined();
      expect(await store.stat(digest)).toBeUndefined();
      expect(metadata.blobs.get(digest)).toBeUndefined();
    });

    promise('a quarantined blob is a miss, and can be stored anew', async ({ store, metadata }) => {
      const { bytes, digest } = content();
      await store.put(digest, bytes);
      const reader = await store.open(digest);
      await store.quarantine(digest, 'a test says so');
      expect(await store.stat(digest)).toBeUndefined();
      expect(metadata.blobs.get(digest)).toBeUndefined();
      expect(await readRange(reader, 0, 1000)).toEqual(bytes);
      await reader?.close();
      await store.put(digest, bytes);
      expect(await store.stat(digest)).toMatchObject({ isSuspect: false });
      await store.quarantine(content().digest, 'not there: nothing to do');
    });

    promise('the least recently used blob is the first to go', async ({ store, metadata, clock }) => {
      const blobs = [content(), content(), content()];
      for (const { digest, bytes } of blobs) {
        await store.put(digest, bytes);
        await clock.advance(1000);
      }
      const [first, second, third] = blobs.map(({ digest }) => digest);
      expect(metadata.blobs.oldest(10).map(({ digest }) => digest)).toEqual([first, second, third]);
      if (first !== undefined) metadata.blobs.touch(first);
      expect(metadata.blobs.oldest(10).map(({ digest }) => digest)).toEqual([second, third, first]);
    });

    promise('free space is told, and closing is idempotent', async ({ store }) => {
      const { freeBytes, totalBytes } = await store.freeSpace();
      expect(freeBytes).toBeGreaterThan(0);
      expect(totalBytes).toBeGreaterThanOrEqual(freeBytes);
      await store.close();
      await store.close();
    });

    it('no promise is missing', () => expect(promises).toBe(27));
  });
}

/** Up to `length` bytes from `position`. */
export async function readRange(
  reader: PositionalReader | undefined,
  position: number,
  length: number,
): Promise<Buffer> {
  if (reader === undefined) throw new Error('nothing to read from');
  const buffer = Buffer.alloc(length);
  return buffer.subarray(0, await reader.read(buffer, 0, length, position));
}

export async function rejects(promise: Promise<unknown>, kind: StoreErrorKind): Promise<StoreError> {
  const error = await promise.then(
    () => new Error(`resolved instead of rejecting as ${kind}`),
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof StoreError)) throw error;
  expect(error.kind).toBe(kind);
  return error;
}
