import { describe, expect, it } from 'vitest';
import type { CacheEvents } from '../../../src/fill/contract/events.ts';
import { FillReader } from '../../../src/fill/readers/reader.ts';
import { Attempt } from '../../../src/fill/attempt/attempt.ts';
import type { Ingest } from '../../../src/store/contract/blob-store.ts';
import { Demand } from '../../../src/fill/attempt/demand.ts';
import { silentLogger } from '../../../src/lib/log.ts';
import { Semaphore } from '../../../src/lib/semaphore.ts';
import { digestOf } from '../../../src/oci/digest.ts';
import type { Repository } from '../../../src/oci/reference.ts';
import type { Interval } from '../../../src/store/contract/blob-store.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { Gate, eventually } from '../../support/gate.ts';

const mib = 1024 * 1024;
const never = new AbortController().signal;

/** An attempt over zeros, whose reads back and syncs pass gates. */
function rig(resumed: readonly Interval[], sizeBytes: number, hashTurns = new Semaphore(1), name = 'read') {
  const reads = new Gate(name);
  const syncs = new Gate('sync');
  const synced: (readonly Interval[])[] = [];
  const ingest = {
    resumed,
    claimedSizeBytes: sizeBytes,
    sync: async (written: readonly Interval[]) => {
      synced.push(written);
      await syncs.pass();
    },
  } as unknown as Ingest;
  const file = {
    read: async (_: Uint8Array, __: number, length: number) => {
      await reads.pass();
      return length;
    },
    close: async () => undefined,
  };
  const clock = new FakeClock();
  const digest = digestOf(new Uint8Array(0));
  const attempt = new Attempt({ digest, ingest, file, clock, logger: silentLogger, hashTurns });
  return { attempt, reads, syncs, synced };
}

describe('a reader of a frozen attempt', () => {
  it('waits for the hash while there are bytes to read, and does not have all of them brought again', async () => {
    const gib = 1024 * mib;
    const { attempt, reads } = rig([{ start: 0, end: gib }], 2 * gib);
    attempt.freeze();
    const tails: number[] = [];
    const reader = new FillReader({
      attempt,
      demand: new Demand(),
      span: { start: 0, end: 2 * gib },
      declaredBytes: 2 * gib,
      repository: 'a/b' as Repository,
      events: {} as CacheEvents,
      successor: () => undefined,
      openTail: (_, __, position) => {
        tails.push(position);
        return Promise.reject(new Error('no tail is needed'));
      },
    });
    expect(await reader.readable(0, never)).toBe(256 * mib);
    const further = Promise.resolve(reader.readable(256 * mib, never));
    await reads.arrived();
    reads.release();
    expect(await further).toBeGreaterThan(256 * mib);
    expect(tails).toEqual([]);
    reader.close();
    attempt.release();
    reads.open();
  });
});

describe('Attempt', () => {
  it('lets readers of the whole run 256 MiB ahead of the hash, and not further', async () => {
    const gib = 1024 * mib;
    const { attempt, reads } = rig([{ start: 0, end: gib }], gib);
    expect(attempt.wholeLimit(0)).toBe(256 * mib);
    await reads.arrived();
    reads.release();
    await reads.arrived(2);
    expect(attempt.wholeLimit(0)).toBeGreaterThan(256 * mib);
    expect(attempt.wholeLimit(0)).toBeLessThanOrEqual(256 * mib + 4 * mib);
    // Ranges do not wait for the hash.
    expect(attempt.pieces.readableEnd(700 * mib)).toBe(gib);
    attempt.release();
    reads.open();
  });

  it('records as durable only what was written before the sync began', async () => {
    const { attempt, reads, syncs, synced } = rig([], 100 * mib);
    const claim = attempt.pieces.claim(0, 100 * mib);
    const write = (bytes: number): void => {
      const at = claim.position;
      attempt.pieces.commit(claim, bytes);
      attempt.pieces.advance(claim, at + bytes);
      attempt.written([new Uint8Array(bytes)], at);
    };
    write(40 * mib);
    await syncs.arrived();
    write(mib);
    expect(synced).toEqual([[{ start: 0, end: 40 * mib }]]);
    syncs.open();
    await attempt.settle();
    expect(synced).toHaveLength(1);
    attempt.release();
    reads.open();
  });

  it('that is live hashes before one that re-hashes what it found', async () => {
    const turns = new Semaphore(1);
    const blocker = await turns.acquire();
    const old = rig([{ start: 0, end: 8 * mib }], 9 * mib, turns, 'old');
    const live = rig([], 9 * mib, turns, 'live');
    // Written out of order, so that the hash must read back.
    const pieces = [live.attempt.pieces.claim(mib, 2 * mib), live.attempt.pieces.claim(0, mib)];
    for (const claim of pieces) {
      live.attempt.pieces.commit(claim, mib);
      const at = claim.position;
      live.attempt.pieces.advance(claim, at + mib);
      live.attempt.written([new Uint8Array(mib)], at);
      live.attempt.pieces.release(claim);
    }
    await eventually(() => turns.waiting === 2);
    blocker[Symbol.dispose]();
    await live.reads.arrived();
    expect(old.reads.arrivals).toBe(0);
    for (const { attempt, reads } of [old, live]) {
      attempt.release();
      reads.open();
    }
  });
});
