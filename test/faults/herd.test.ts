import { describe, expect, it } from 'vitest';
import { eventually } from '../support/gate.ts';
import type { ScriptedUpstream } from '../support/scripted-upstream.ts';
import { RateLimit } from '../support/upstream/rate-limit.ts';
import { delay, shared } from '../support/upstream/behaviour.ts';
import { download } from './support/blob-client.ts';
import { Stage, mb } from './support/stage.ts';

const clients = 100;
/**
 * Times get three times the allowance of the promise (1.1x, 50 ms), and are measured against what the same clients need for
 * the same blob when it is here: on a machine with other work that is longer than a plain download.
 */
const maxRatio = 1.3;
const maxDelayMs = 150;

describe('100 cold clients of one 100 MB blob behind a 10 MB/s upstream', () => {
  it('cost the upstream one transfer and 1.00x the bytes, and hardly wait longer than one plain download', async () => {
    await using stage = await Stage.set();
    const { upstream, weir } = stage;
    // A daemon that has served before: the promise is about the fill, not about the first seconds of a process.
    for (const round of [1, 2, 3, 4]) {
      const { path } = stage.addBlob(mb, `warm ${round}`);
      await Promise.all(Array.from({ length: clients }, () => download(weir.port, path)));
    }
    upstream.always = shared(new RateLimit(10 * mb));
    // Bytes and requests must be right each time; of the times the best of three counts.
    const ratios: number[] = [];
    const delays: number[] = [];
    const isGood = (): boolean => least(ratios) < maxRatio && least(delays) < maxDelayMs;
    for (let attempt = 0; attempt < 3 && !isGood(); attempt++) {
      const { path, digest } = stage.addBlob(100 * mb, `herd ${attempt}`);
      const plain = await download(upstream.port, path);
      expect(plain.isComplete).toBe(true);
      upstream.forgetRequests();

      const cold = await herd(weir.port, path);
      expectOneTransfer(upstream);
      const requests = upstream.count({ kind: 'blob', method: 'GET' });
      await eventually(() => weir.blobs().includes(digest));
      const warm = await herd(weir.port, path);
      ratios.push(cold.totalMs / Math.max(plain.totalMs, warm.totalMs));
      delays.push(cold.firstByteMs - Math.max(plain.firstByteMs, warm.firstByteMs));
      console.log(
        `herd: slowest ${ratios.at(-1)?.toFixed(3)}x of plain, first byte +${delays.at(-1)?.toFixed(0)} ms, ${requests} requests;` +
          ` ms: plain ${plain.totalMs.toFixed(0)}, cold ${cold.totalMs.toFixed(0)}, warm ${warm.totalMs.toFixed(0)}`,
      );
      // Where the machine is not what holds everybody back, more connections cannot seem to bring more.
      if (cold.totalMs < 1.05 * plain.totalMs) expect(requests).toBeLessThanOrEqual(requestsOfOneConnection);
    }
    expect(least(ratios)).toBeLessThan(maxRatio);
    expect(least(delays)).toBeLessThan(maxDelayMs);
  });

  it('all get right bytes (hashed by every client)', async () => {
    await using stage = await Stage.set();
    const { upstream, weir } = stage;
    const { path, digest } = stage.addBlob(100 * mb);
    upstream.always = shared(new RateLimit(10 * mb));
    const all = await Promise.all(Array.from({ length: clients }, () => download(weir.port, path, { hashes: true })));
    expect(all.filter((got) => got.isComplete && got.digest === digest)).toHaveLength(clients);
    expectOneTransfer(upstream);
  });

  it('may leave at any moment, 99 of them: the blob is cached and nothing is left over', async () => {
    await using stage = await Stage.set();
    const { upstream, weir } = stage;
    // A first blob and its clients, so that what is opened once is open.
    const warm = stage.addBlob(mb, 'warm');
    await Promise.all(Array.from({ length: clients }, () => download(weir.port, warm.path)));
    await eventually(() => weir.ingests().length === 0);
    await eventually(() => sockets(weir.descriptors()) <= 8);
    const before = weir.descriptors().length;

    const { path, digest } = stage.addBlob(100 * mb);
    upstream.always = shared(new RateLimit(40 * mb));
    const all = await Promise.all(
      Array.from({ length: clients }, (_, index) =>
        download(weir.port, path, index === 0 ? { hashes: true } : { leaveAfter: Math.ceil(Math.random() * 99 * mb) }),
      ),
    );
    expect(all[0]?.digest).toBe(digest);
    expect(all.filter(({ isComplete }) => isComplete)).toHaveLength(1);
    await eventually(() => weir.blobs().includes(digest));
    expect(upstream.count({ reference: digest, method: 'GET' })).toBeLessThanOrEqual(requestsOfPieces);
    await eventually(() => weir.ingests().length === 0);
    await eventually(
      () => weir.descriptors().length <= before,
      () => `${weir.descriptors().length} descriptors, ${before} before: ${weir.descriptors().join(' ')}`,
    );
    const deleted = (): readonly string[] =>
      weir.descriptors().filter((target) => target.includes('(deleted)') && target.includes(weir.root));
    await eventually(
      () => deleted().length === 0,
      () => deleted().join(' '),
    );
    const warmAgain = await download(weir.port, path, { hashes: true });
    expect(warmAgain.digest).toBe(digest);
    expect(upstream.bytesSent({ reference: digest })).toBeLessThanOrEqual(100.5 * mb);
  });

  it('may all leave: the blob is cached all the same', async () => {
    await using stage = await Stage.set();
    const { upstream, weir } = stage;
    const { path, digest } = stage.addBlob(20 * mb);
    upstream.always = { ...shared(new RateLimit(20 * mb)), ...delay(20) };
    await Promise.all(
      Array.from({ length: clients }, () =>
        download(weir.port, path, { leaveAfter: Math.ceil(Math.random() * 10 * mb) }),
      ),
    );
    await eventually(() => weir.blobs().includes(digest));
    expect(upstream.bytesSent({ reference: digest })).toBe(20 * mb);
  });
});

/** All clients at once, of 100 MB: what the slowest of them saw. */
async function herd(port: number, path: string): Promise<{ readonly totalMs: number; readonly firstByteMs: number }> {
  const all = await Promise.all(Array.from({ length: clients }, () => download(port, path)));
  expect(all.filter(({ isComplete, bytes }) => isComplete && bytes === 100 * mb)).toHaveLength(clients);
  return {
    totalMs: Math.max(...all.map(({ totalMs }) => totalMs)),
    firstByteMs: Math.max(...all.map(({ firstByteMs }) => firstByteMs)),
  };
}

/** One GET; weir may try a second connection, learns that it brings nothing, and asks for the rest over one again. */
const requestsOfOneConnection = 6;
/** On a busy machine more connections may seem to bring more; then the blob comes in pieces, each asked for once. */
const requestsOfPieces = 25;

function expectOneTransfer(upstream: ScriptedUpstream): void {
  expect(upstream.count({ kind: 'blob', method: 'GET' })).toBeLessThanOrEqual(requestsOfPieces);
  const sentBytes = upstream.bytesSent({ kind: 'blob' });
  expect(sentBytes).toBeGreaterThanOrEqual(100 * mb);
  expect(sentBytes).toBeLessThanOrEqual(100.5 * mb);
}

function sockets(descriptors: readonly string[]): number {
  return descriptors.filter((target) => target.startsWith('socket:')).length;
}

function least(values: readonly number[]): number {
  return Math.min(...values);
}
