import { describe, expect, it } from 'vitest';
import { eventually } from '../support/gate.ts';
import { RateLimit } from '../support/upstream/rate-limit.ts';
import { delay, shared } from '../support/upstream/behaviour.ts';
import { download } from './support/blob-client.ts';
import { Stage, mb } from './support/stage.ts';

const clients = 100;
/** Times get three times the allowance of the promise, because the machine may be busy. */
const allowance = 3;

describe('100 cold clients of one 100 MB blob behind a 10 MB/s upstream', () => {
  it('cost the upstream one GET and 1.00x the bytes, and hardly wait longer than one plain download', async () => {
    await using stage = await Stage.set();
    const { upstream, weir } = stage;
    const { path, digest } = stage.addBlob(100 * mb);
    // A daemon that has served before: the promise is about the fill, not about the first seconds of a process.
    const warm = stage.addBlob(mb, 'warm');
    await Promise.all(Array.from({ length: clients }, () => download(weir.port, warm.path)));
    upstream.always = shared(new RateLimit(10 * mb));
    const plain = await download(upstream.port, path);
    expect(plain.isComplete).toBe(true);
    upstream.forgetRequests();

    const all = await Promise.all(Array.from({ length: clients }, () => download(weir.port, path)));
    expect(all.filter(({ isComplete, bytes }) => isComplete && bytes === 100 * mb)).toHaveLength(clients);
    expect(upstream.count({ kind: 'blob', method: 'GET' })).toBe(1);
    expect(upstream.bytesSent({ kind: 'blob' })).toBe(100 * mb);
    const slowest = Math.max(...all.map(({ totalMs }) => totalMs));
    const lateness = Math.max(...all.map(({ firstByteMs }) => firstByteMs)) - plain.firstByteMs;
    console.log(
      `herd: plain ${plain.totalMs.toFixed(0)} ms, slowest ${slowest.toFixed(0)} ms, first byte +${lateness.toFixed(0)} ms`,
    );
    expect(slowest).toBeLessThan(plain.totalMs * (1 + 0.1 * allowance));
    expect(lateness).toBeLessThan(50 * allowance);
    await eventually(() => weir.blobs().includes(digest));
  });

  it('all get right bytes (hashed by every client)', async () => {
    await using stage = await Stage.set();
    const { upstream, weir } = stage;
    const { path, digest } = stage.addBlob(100 * mb);
    upstream.always = shared(new RateLimit(10 * mb));
    const all = await Promise.all(Array.from({ length: clients }, () => download(weir.port, path, { hashes: true })));
    expect(all.filter((got) => got.isComplete && got.digest === digest)).toHaveLength(clients);
    expect(upstream.bytesSent({ kind: 'blob' })).toBe(100 * mb);
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
    expect(upstream.count({ reference: digest, method: 'GET' })).toBe(1);
    await eventually(() => weir.ingests().length === 0);
    await eventually(
      () => weir.descriptors().length <= before,
      () => `${weir.descriptors().length} descriptors, ${before} before: ${weir.descriptors().join(' ')}`,
    );
    expect(weir.descriptors().filter((target) => target.includes('(deleted)') && target.includes(weir.root))).toEqual(
      [],
    );
    const warmAgain = await download(weir.port, path, { hashes: true });
    expect(warmAgain.digest).toBe(digest);
    expect(upstream.count({ reference: digest })).toBe(1);
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

function sockets(descriptors: readonly string[]): number {
  return descriptors.filter((target) => target.startsWith('socket:')).length;
}
