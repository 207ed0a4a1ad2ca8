import { describe, expect, it } from 'vitest';
import { digestOfSource, randomSource } from '../support/byte-source.ts';
import { eventually } from '../support/gate.ts';
import { RateLimit } from '../support/upstream/rate-limit.ts';
import { cut, delay, shared } from '../support/upstream/behaviour.ts';
import { download } from './support/blob-client.ts';
import { Stage, mb, mib } from './support/stage.ts';

const size = 50 * mb;

/** So that each request is one of the cuts, or follows one. */
const oneConnection = { fill: { connections: 1 } };

describe('an upstream that cuts', () => {
  it('five times at random offsets: every client sees one unbroken, correct 200', async () => {
    await using stage = await Stage.set(oneConnection);
    const { upstream, weir } = stage;
    const { path, digest } = stage.addBlob(size);
    const cuts = Array.from({ length: 5 }, () => Math.ceil(Math.random() * (size / 6)));
    for (const [skip, at] of cuts.entries()) {
      upstream.on({ kind: 'blob' }, { skip, times: 1 }, cut(at, skip % 2 === 0 ? 'fin' : 'rst'));
    }
    upstream.always = shared(new RateLimit(50 * mb));
    const all = await Promise.all(Array.from({ length: 20 }, () => download(weir.port, path, { hashes: true })));
    expect(all.filter((got) => got.status === 200 && got.isComplete && got.digest === digest)).toHaveLength(20);
    expect(upstream.count({ kind: 'blob', method: 'GET' })).toBe(6);
    expect(await weir.metric('weir_fill_resumes_total')).toBe(5);
    await eventually(() => weir.blobs().includes(digest));
  });

  it('every connection after a third of the blob: still one unbroken, correct 200', async () => {
    await using stage = await Stage.set(oneConnection);
    const { upstream, weir } = stage;
    const { path, digest } = stage.addBlob(size);
    upstream.always = cut(Math.floor(size / 3));
    const all = await Promise.all(Array.from({ length: 20 }, () => download(weir.port, path, { hashes: true })));
    expect(all.filter((got) => got.status === 200 && got.isComplete && got.digest === digest)).toHaveLength(20);
    expect(upstream.count({ kind: 'blob', method: 'GET' })).toBe(4);
  });
});

describe('a cold Range of 1 MB in the middle', () => {
  it('is a 206 with exactly that within one round trip, while the fill goes on behind it', async () => {
    await using stage = await Stage.set();
    const { upstream, weir } = stage;
    const { path, digest } = stage.addBlob(size);
    const roundTripMs = 100;
    upstream.always = { ...shared(new RateLimit(20 * mb)), ...delay(roundTripMs) };
    // Connections and code paths are warm; the blob is not.
    await download(weir.port, stage.addBlob(mib, 'other').path);
    const from = size / 2;
    const range = { Range: `bytes=${from}-${from + mb - 1}` };
    const got = await download(weir.port, path, { headers: range, hashes: true });
    console.log(`cold range: first byte after ${got.firstByteMs.toFixed(0)} ms of a ${roundTripMs} ms round trip`);
    expect(got.status).toBe(206);
    expect(got.headers['content-range']).toBe(`bytes ${from}-${from + mb - 1}/${size}`);
    const source = randomSource(size, size);
    const part = { sizeBytes: mb, bytes: (start: number, end: number) => source.bytes(from + start, from + end) };
    expect(got.digest).toBe(digestOfSource(part));
    expect(got.firstByteMs).toBeLessThan(roundTripMs * 3);
    expect(weir.blobs()).not.toContain(digest);
    await eventually(() => weir.blobs().includes(digest));
    const spans = upstream
      .matching({ reference: digest, method: 'GET' })
      .map(({ span }) => span ?? { start: 0, end: size });
    const asked = spans.toSorted((one, other) => one.start - other.start);
    let end = 0;
    for (const span of asked) {
      expect(span.start).toBe(end);
      end = span.end;
    }
    expect(end).toBe(size);
    expect(upstream.bytesSent({ reference: digest })).toBe(size);
  });
});
