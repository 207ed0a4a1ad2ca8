/**
 * A model file of many gigabytes. `FAULTS_GB` says how many; each is written for real, so that 20 need about a minute
 * and as much room on the disk.
 */
import { statfsSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type ByteSource, digestOfSource } from '../support/byte-source.ts';
import { download } from './support/blob-client.ts';
import { mb, mib, Stage } from './support/stage.ts';
import { countOf } from './support/tier.ts';

const gb = 1000 * mb;
const gigabytes = countOf('FAULTS_GB', 4, 20);

const zeros = Buffer.alloc(mib);
const nothing = (sizeBytes: number): ByteSource => ({
  sizeBytes,
  bytes: (start, end) => (end - start <= zeros.length ? zeros.subarray(0, end - start) : Buffer.alloc(end - start)),
});

/** Of so many gigabytes of zeros; what is not here is computed. The client hashes what it gets, so a wrong one fails. */
const knownDigests = new Map([
  [4, 'sha256:ddd45e35df0b676747319e4da247e7dc78b53cb99cba1411f1db51ebf4202efb'],
  [20, 'sha256:c3e5d415e2a12e6a97ad47e0027b1b26894f6f163fbf58f9f11e325322e12a9a'],
]);

function needRoom(bytes: number): void {
  const { bavail, bsize } = statfsSync(tmpdir());
  const freeBytes = bavail * bsize;
  if (freeBytes >= bytes) return;
  const [needed, free] = [bytes, freeBytes].map((each) => (each / gb).toFixed(1));
  throw new Error(`${tmpdir()} has ${free} GB free and this test writes up to ${needed} GB; set TMPDIR or FAULTS_GB`);
}

describe(`a blob of ${gigabytes} GB`, () => {
  it('goes through in one transfer whatever it takes, in flat memory, and lies in the store whole', async () => {
    const sizeBytes = gigabytes * gb;
    needRoom(sizeBytes + 5 * gb);
    const config = { cache: { maxSize: '1TiB' } };
    await using stage = await Stage.set(config);
    const { weir, upstream } = stage;
    const source = nothing(sizeBytes);
    const digest = upstream.content.addBlob('team/app', source, knownDigests.get(gigabytes) ?? digestOfSource(source));
    const path = `/v2/team/app/blobs/${digest}`;
    const resident: number[] = [];
    const looking = setInterval(() => resident.push(weir.rssBytes()), 250);
    try {
      const cold = await download(weir.port, path, { hashes: true, timeoutMs: 280_000 });
      expect([cold.status, cold.bytes, cold.isComplete, cold.digest]).toEqual([200, sizeBytes, true, digest]);
      await weir.idle();
      // Each byte once, in a single request or several.
      expect(upstream.bytesSent({ kind: 'blob', method: 'GET' })).toBeLessThan(sizeBytes * 1.01);
      const { size, blocks } = statSync(join(weir.root, 'blobs', 'sha256', digest.slice('sha256:'.length)));
      expect(size).toBe(sizeBytes);
      expect(weir.ingests()).toEqual([]);
      const [first = 0] = resident;
      const most = Math.max(...resident);
      console.log(
        `large blob: ${gigabytes} GB in ${(cold.totalMs / 1000).toFixed(1)} s, first byte after ` +
          `${cold.firstByteMs.toFixed(0)} ms, resident memory ${(first / mb).toFixed(0)} to ${(most / mb).toFixed(0)} MB, ` +
          `${((blocks * 512) / gb).toFixed(1)} GB on the disk`,
      );
      // What it needs does not depend on the blob's size.
      const half = Math.floor(resident.length / 2);
      expect(Math.max(...resident.slice(half))).toBeLessThan(Math.max(...resident.slice(0, half)) + 48 * mb);
      expect(most).toBeLessThan(500 * mb);
      const before = upstream.count({ kind: 'blob' });
      const warm = await download(weir.port, path, { timeoutMs: 120_000 });
      expect([warm.status, warm.bytes, upstream.count({ kind: 'blob' })]).toEqual([200, sizeBytes, before]);
    } finally {
      clearInterval(looking);
    }
  });
});
