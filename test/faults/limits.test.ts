import { describe, expect, it } from 'vitest';
import { eventually } from '../support/gate.ts';
import { download } from './support/blob-client.ts';
import { Stage, mb, mib } from './support/stage.ts';

const limit = 1_000_000_000;

describe('a 1 GB cache', () => {
  it('never exceeds its limit under 20 GB of pulls, and readers of evicted blobs finish', async () => {
    await using stage = await Stage.set({ cache: { maxSize: `${limit}` } });
    const { weir } = stage;
    const size = 50 * mb;
    const pulls = 400;
    let most = 0;
    const watch = setInterval(() => void (most = Math.max(most, weir.occupiedBytes())), 10);
    try {
      // A reader that is slow to begin with holds on to a blob that will be evicted under it.
      const first = stage.addBlob(size, 'pull 0');
      await download(weir.port, first.path);
      let next = 1;
      const worker = async (): Promise<void> => {
        for (let index = next++; index < pulls; index = next++) {
          const { path } = stage.addBlob(size, `pull ${index}`);
          const got = await download(weir.port, path);
          expect(got.isComplete).toBe(true);
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
    expect(await weir.metric('weir_evictions_total')).toBeGreaterThan(300);
  });
});

describe('500 stalled readers of 1 GiB blobs', () => {
  it('leave the resident memory under 250 MB', async () => {
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
    await eventually(async () => (await weir.metric('weir_requests_running')) >= 500);
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
    expect(most).toBeLessThan(250 * mb);
    leave.abort();
    expect((await Promise.all(stalled)).every(({ status }) => status === 200)).toBe(true);
  });
});
