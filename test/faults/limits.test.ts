import { describe, expect, it } from 'vitest';
import { VariedSource } from '../support/byte-source.ts';
import { eventually } from '../support/gate.ts';
import { download } from './support/blob-client.ts';
import { Stage, mb, mib } from './support/stage.ts';
import { countOf } from './support/tier.ts';

const limit = 1_000_000_000;
const pulledGb = countOf('FAULTS_PULLED_GB', 8, 20);

describe('a 1 GB cache', () => {
  it(`never exceeds its limit under ${pulledGb} GB of pulls, and readers of evicted blobs finish`, async () => {
    await using stage = await Stage.set({ cache: { maxSize: `${limit}` } });
    const { upstream, weir } = stage;
    const pulls = pulledGb * 20;
    const contents = new VariedSource(50 * mb);
    const add = (index: number): string => {
      const content = contents.variant(index);
      return `/v2/team/app/blobs/${upstream.content.addBlob('team/app', content, content.digest)}`;
    };
    let most = 0;
    const watch = setInterval(() => void (most = Math.max(most, weir.occupiedBytes())), 10);
    try {
      let next = 0;
      const worker = async (): Promise<void> => {
        for (let index = next++; index < pulls; index = next++) {
          // One in fifty reads on slowly while its blob is evicted, and must finish all the same.
          const options = index % 50 === 0 ? { hashes: true, slow: true } : {};
          const got = await download(weir.port, add(index), options);
          expect(got.isComplete).toBe(true);
          if (index % 50 === 0) expect(got.digest).toBe(contents.variant(index).digest);
        }
      };
      await Promise.all([worker(), worker(), worker(), worker()]);
    } finally {
      clearInterval(watch);
    }
    await eventually(() => weir.ingests().length === 0);
    console.log(`limit: at most ${(most / mb).toFixed(0)} MB of ${limit / mb} MB seen from outside`);
    expect(most).toBeGreaterThan(limit / 2);
    expect(most).toBeLessThanOrEqual(limit);
    expect(await weir.metric('weir_evictions_total')).toBeGreaterThan((pulledGb - 2) * 15);
  });
});

/** A daemon that has filled 2 GiB has about 200 MB; a buffer of 256 KiB for each of them would be 128 more. */
describe('500 stalled readers of 1 GiB blobs', () => {
  it('leave the resident memory under 300 MB', async () => {
    await using stage = await Stage.set();
    const { weir } = stage;
    const blobs = [0, 1].map((seed) => stage.addBlob(1024 * mib, `stalled ${seed}`));
    for (const { path, digest } of blobs) {
      expect((await download(weir.port, path)).isComplete).toBe(true);
      await eventually(() => weir.blobs().includes(digest));
    }
    const leave = new AbortController();
    const stalled = Array.from({ length: 500 }, (_, index) =>
      download(weir.port, blobs[index % 2]?.path ?? '', { stalls: true, leave: leave.signal, timeoutMs: 300_000 }),
    );
    await eventually(() => weir.descriptors().filter((target) => target.startsWith('socket:')).length >= 500);
    let most = 0;
    for (let sample = 0; sample < 50; sample++) {
      most = Math.max(most, weir.rssBytes());
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    // Others are served meanwhile.
    expect((await download(weir.port, blobs[0]?.path ?? '', { leaveAfter: 100 * mib })).bytes).toBeGreaterThan(
      99 * mib,
    );
    most = Math.max(most, weir.rssBytes());
    console.log(`stalled readers: resident memory at most ${(most / mb).toFixed(0)} MB`);
    expect(most).toBeLessThan(300 * mb);
    leave.abort();
    expect((await Promise.all(stalled)).every(({ status }) => status === 200)).toBe(true);
  });
});
