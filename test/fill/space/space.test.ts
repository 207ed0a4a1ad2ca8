import { describe, expect, it, vi } from 'vitest';
import { Space } from '../../../src/fill/space/space.ts';
import { ChangeCounters } from '../../../src/lib/change-counters.ts';
import { silentLogger } from '../../../src/lib/log.ts';
import { type Digest, digestOf } from '../../../src/oci/digest.ts';
import { Metadata } from '../../../src/store/metadata/metadata.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { eventually } from '../../support/gate.ts';
import { FaultyStore } from '../support/faulty-store.ts';

const kib = 1024;
const mib = 1024 * kib;

/** A store full of blobs of 4 KiB, the first one used longest ago. */
async function fullStore(blobs: number, maxBytes: number) {
  const clock = new FakeClock();
  const metadata = new Metadata({ path: ':memory:', clock, logger: silentLogger });
  const rows = { read: 0 };
  const oldestFirst = metadata.blobs.oldestFirst.bind(metadata.blobs);
  vi.spyOn(metadata.blobs, 'oldestFirst').mockImplementation(function* () {
    for (const blob of oldestFirst()) {
      rows.read++;
      yield blob;
    }
  });
  const store = new FaultyStore(metadata);
  const digests: Digest[] = [];
  for (let index = 0; index < blobs; index++) {
    const bytes = Buffer.alloc(4 * kib, index.toString(36).padStart(8));
    const digest = digestOf(bytes);
    await store.put(digest, bytes);
    digests.push(digest);
    await clock.advance(1);
  }
  const evicted: number[] = [];
  const events = {
    fillStarted: () => undefined,
    fillEnded: () => undefined,
    fillJoined: () => undefined,
    fillResumed: () => undefined,
    unprovedRangeBytes: () => undefined,
    evicted: ({ bytes }: { bytes: number }) => void evicted.push(bytes),
    rejected: () => undefined,
    prefetchEnded: () => undefined,
  };
  const limits = { maxBytes, minFreeBytes: () => 0 };
  const space = new Space({
    store,
    metadata,
    clock,
    logger: silentLogger,
    events,
    limits,
    changes: new ChangeCounters(),
  });
  const close = async (): Promise<void> => {
    await space.close();
    metadata.close();
  };
  return { space, metadata, rows, store, digests, evicted, [Symbol.asyncDispose]: close };
}

describe('eviction', () => {
  it('goes down to the low watermark beside a write, which waits for the blobs in its way only', async () => {
    // 2000 blobs of 4 KiB and 2 MiB of slack: 12 KiB are left.
    const maxBytes = 2000 * 4 * kib + 2 * mib + 12 * kib;
    await using rig = await fullStore(2000, maxBytes);
    expect(await rig.space.reserve().cover(64 * kib, 8 * mib)).toBe(true);
    expect(rig.evicted.length).toBeGreaterThanOrEqual(13);
    expect(rig.evicted.length).toBeLessThanOrEqual(13 + 32);
    await eventually(() => rig.evicted.length === 2000);
    expect(rig.rows.read).toBe(2000);
  });

  it('lets a second write through between two turns', async () => {
    const maxBytes = 2000 * 4 * kib + 2 * mib;
    await using rig = await fullStore(2000, maxBytes);
    const [first, second] = [rig.space.reserve(), rig.space.reserve()];
    expect(await first.cover(4 * kib, 8 * mib)).toBe(true);
    expect(await second.cover(4 * kib, 0)).toBe(true);
    expect(rig.evicted.length).toBeLessThanOrEqual(2 * 32 + 2);
    await eventually(() => rig.evicted.length === 2000);
  });

  it('reads the rows of blobs that are open once, however many there are', async () => {
    await using rig = await fullStore(2000, 2000 * 4 * kib + 2 * mib);
    await using opened = new AsyncDisposableStack();
    for (const digest of rig.digests.slice(0, 1500)) {
      const blob = await rig.store.open(digest);
      if (blob !== undefined) opened.use(blob);
    }
    const reservation = rig.space.reserve();
    for (let bytes = 4 * kib; bytes <= 400 * kib; bytes += 4 * kib)
      expect(await reservation.cover(bytes, 2 * mib)).toBe(true);
    await eventually(() => rig.evicted.length === 500);
    expect(rig.rows.read).toBeLessThanOrEqual(2 * 2000);
    expect(rig.digests.slice(0, 1500).every((digest) => rig.store.blobs.has(digest))).toBe(true);
  });

  it('gives up when everything is open, and goes on when it is not any more', async () => {
    await using rig = await fullStore(100, 100 * 4 * kib + 2 * mib);
    const opened = new AsyncDisposableStack();
    for (const digest of rig.digests) {
      const blob = await rig.store.open(digest);
      if (blob !== undefined) opened.use(blob);
    }
    expect(await rig.space.reserve().cover(4 * kib, 0)).toBe(false);
    await opened.disposeAsync();
    expect(await rig.space.reserve().cover(4 * kib, 0)).toBe(true);
    expect(rig.evicted).not.toEqual([]);
  });
});
