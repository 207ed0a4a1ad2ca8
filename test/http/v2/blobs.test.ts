import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { packRanges } from '../../../src/headers/packed-ranges.ts';
import { BrokenBodyError } from '../../../src/fill/contract/errors.ts';
import { digestOf } from '../../../src/oci/digest.ts';
import { UpstreamError } from '../../../src/upstream/contract/errors.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { eventually } from '../../support/gate.ts';
import { rawFetch } from '../../support/raw-client.ts';
import { type Answer, ask } from '../support/ask.ts';
import { bytesOf, FakeBlob, patternSource } from '../support/fake-cache.ts';
import { type Front, type FrontOptions, startFront } from '../support/front.ts';

interface WithBlob extends Front {
  readonly blob: FakeBlob;
  readonly path: string;
  readonly bytes: Buffer;
}

async function frontWithBlob(
  blob: FakeBlob = new FakeBlob(patternSource(2048)),
  options: FrontOptions = {},
): Promise<WithBlob> {
  const front = await startFront(options);
  front.cache.addBlob('docker.io/library/alpine', blob);
  return { ...front, blob, path: `/v2/library/alpine/blobs/${blob.digest}`, bytes: bytesOf(blob.source) };
}

/** Everything that was taken was given back, once. */
async function expectAllClosed({ blob, pool, stalls }: WithBlob): Promise<void> {
  await eventually(() => blob.openViews === 0 && blob.openReaders === 0 && stalls.size === 0);
  await eventually(() => pool.bytesInUse === 0);
}

interface Part {
  readonly range: string;
  readonly bytes: Buffer;
}

/** Reads multipart/byteranges as strictly as it is written. */
function partsOf({ headers, body }: Answer): readonly Part[] {
  const [, boundary = ''] =
    /^multipart\/byteranges; boundary=([A-Za-z0-9]+)$/.exec(headers['content-type'] ?? '') ?? [];
  const parts: Part[] = [];
  let at = 0;
  for (;;) {
    const mark = `${parts.length === 0 ? '' : '\r\n'}--${boundary}`;
    expect(body.subarray(at, at + mark.length).toString('latin1')).toBe(mark);
    at += mark.length;
    if (body.subarray(at).toString('latin1') === '--\r\n') return parts;
    const headEnd = body.indexOf('\r\n\r\n', at) + 4;
    const head = body.subarray(at, headEnd).toString('latin1');
    const [, start = '', last = ''] = /Content-Range: bytes ([0-9]+)-([0-9]+)\/[0-9]+\r\n/.exec(head) ?? [];
    expect(head).toContain('Content-Type: application/octet-stream\r\n');
    const length = Number(last) - Number(start) + 1;
    parts.push({ range: `${start}-${last}`, bytes: body.subarray(headEnd, headEnd + length) });
    at = headEnd + length;
  }
}

describe('a blob', () => {
  it('is served whole, with everything that clients look for', async () => {
    await using front = await frontWithBlob(new FakeBlob(patternSource(9_000_001)));
    const answer = await ask(front.port, `${front.path}?ns=docker.io`);
    expect(answer.status).toBe(200);
    expect(digestOf(answer.body)).toBe(digestOf(front.bytes));
    expect(answer.headers).toMatchObject({
      'content-type': 'application/octet-stream',
      'content-length': '9000001',
      'docker-content-digest': front.blob.digest,
      etag: `"${front.blob.digest}"`,
      'accept-ranges': 'bytes',
      'cache-control': 'max-age=31536000, immutable',
      'cache-status': 'weir; hit',
      'oci-namespace': 'docker.io',
      location: `${front.path}?ns=docker.io`,
    });
    await expectAllClosed(front);
    expect([front.blob.viewCloses, front.blob.readerCloses]).toEqual([1, 1]);
  });

  it('that is empty is 200 without a byte', async () => {
    await using front = await frontWithBlob(new FakeBlob(patternSource(0)));
    const answer = await ask(front.port, front.path);
    expect([answer.status, answer.headers['content-length'], answer.body.length]).toEqual([200, '0', 0]);
    await expectAllClosed(front);
  });

  it('HEAD has the headers of GET, ignores Range, and opens nothing', async () => {
    await using front = await frontWithBlob();
    const get = await ask(front.port, front.path, { headers: { 'X-Request-Id': 'same' } });
    const head = await ask(front.port, front.path, {
      method: 'HEAD',
      headers: { 'X-Request-Id': 'same', Range: 'bytes=5-9' },
    });
    expect(head.status).toBe(200);
    expect({ ...head.headers, date: '' }).toEqual({ ...get.headers, date: '' });
    expect(front.cache.blobQueries[1]).toMatchObject({ method: 'head', ranges: undefined });
    expect(front.blob.opened.length).toBe(1);
  });

  it('HEAD of a blob of unknown size has no length', async () => {
    await using front = await frontWithBlob();
    front.blob.isSizeKnown = false;
    const head = await ask(front.port, front.path, { method: 'HEAD' });
    expect([head.status, head.headers['content-length'], head.headers['transfer-encoding']]).toEqual([
      200,
      undefined,
      undefined,
    ]);
  });

  it('If-None-Match is 304 without starting a transfer', async () => {
    await using front = await frontWithBlob();
    const answer = await ask(front.port, front.path, { headers: { 'If-None-Match': `"${front.blob.digest}"` } });
    expect([answer.status, answer.body.length, answer.headers.etag]).toEqual([304, 0, `"${front.blob.digest}"`]);
    expect(front.cache.blobQueries).toMatchObject([{ method: 'head', ranges: undefined }]);
    await expectAllClosed(front);
  });

  it.each([undefined, 'bytes=5-9', 'bytes=5-9,20-29'])(
    'that lies in the store and has to be brought again is a miss, not a hit (%s)',
    async (Range) => {
      await using front = await frontWithBlob();
      front.blob.beforeOpen = () => {
        front.blob.outcome = { kind: 'miss', isStored: true };
        front.blob.isProved = false;
        return Promise.resolve();
      };
      const answer = await ask(front.port, front.path, { headers: Range === undefined ? {} : { Range } });
      const unproved = Range === undefined ? '' : '; detail=unproved';
      expect(answer.headers['cache-status']).toBe(`weir; fwd=miss; stored${unproved}`);
      await eventually(() => front.ended.length === 1);
      expect(front.ended).toMatchObject([{ outcome: 'miss' }]);
      front.blob.prove();
      await expectAllClosed(front);
    },
  );

  it('that nobody has is 404 BLOB_UNKNOWN', async () => {
    await using front = await frontWithBlob();
    const answer = await ask(front.port, `/v2/library/alpine/blobs/${digestOf('nope')}`);
    expect([answer.status, answer.text.includes('BLOB_UNKNOWN')]).toEqual([404, true]);
  });

  it.each([false, true])('whose bytes turn out not to be readable is an error, not a 200 (%s)', async (opensAtOnce) => {
    const blob = FakeBlob.pending(patternSource(5_000_000));
    blob.opensAtOnce = opensAtOnce;
    await using front = await frontWithBlob(blob);
    front.blob.fail(
      new BrokenBodyError('broken', {
        cause: new UpstreamError('unreachable', 'connection refused', { upstream: 'docker.io' }),
      }),
    );
    const answer = await ask(front.port, front.path);
    expect([answer.status, answer.text.includes('it cannot be reached')]).toEqual([502, true]);
    await expectAllClosed(front);
  });
});

describe('ranges', () => {
  it.each([
    ['a short one in the middle of what is not proved says so', 'bytes=5-9', false, 'weir; fwd=miss; detail=unproved'],
    ['one of several is enough', 'bytes=0-9,50-60', false, 'weir; fwd=miss; detail=unproved'],
    ['a short one from the start says so', 'bytes=0-1', false, 'weir; fwd=miss; detail=unproved'],
    ['a long one from the start waits for the proof', 'bytes=0-4194304', false, 'weir; fwd=miss'],
    ['an open-ended one from the start waits for the proof', 'bytes=0-', false, 'weir; fwd=miss'],
    ['all of it waits for the proof', 'bytes=0-9000000', false, 'weir; fwd=miss'],
    ['a long one waits for the proof', 'bytes=5-4194310', false, 'weir; fwd=miss'],
    ['one of a proved blob is proved', 'bytes=5-9', true, 'weir; fwd=miss'],
  ])('%s', async (_, Range, isProved, expected) => {
    await using front = await frontWithBlob(new FakeBlob(patternSource(9_000_001)));
    front.blob.outcome = { kind: 'miss' };
    front.blob.isProved = isProved;
    const answer = await ask(front.port, front.path, { headers: { Range } });
    expect([answer.status, answer.headers['cache-status']]).toEqual([206, expected]);
  });

  it.each([
    ['bytes=500-1499', 500, 1500],
    ['bytes=500-', 500, 2048],
    ['bytes=-500', 1548, 2048],
    ['bytes=2000-5000', 2000, 2048],
    ['bytes=-99999', 0, 2048],
    ['bytes=0-0', 0, 1],
    ['bytes=0-', 0, 2048],
    ['bytes=2047-', 2047, 2048],
    ['bytes=5000-6000, 7-9', 7, 10],
  ])('%s', async (Range, start, end) => {
    await using front = await frontWithBlob();
    const answer = await ask(front.port, front.path, { headers: { Range } });
    expect(answer.status).toBe(206);
    expect(answer.headers['content-range']).toBe(`bytes ${start}-${end - 1}/2048`);
    expect(answer.headers['content-length']).toBe(String(end - start));
    expect(answer.headers['content-type']).toBe('application/octet-stream');
    expect(answer.headers['docker-content-digest']).toBe(front.blob.digest);
    expect(answer.body.equals(front.bytes.subarray(start, end))).toBe(true);
    expect(front.blob.opened).toEqual([{ start, end }]);
    await expectAllClosed(front);
  });

  it.each(['bytes=5000-10000', 'bytes=500-0', 'bytes=-0', 'bytes=x-y', 'bytes=2048-'])('%s is 416', async (Range) => {
    await using front = await frontWithBlob();
    const answer = await ask(front.port, front.path, { headers: { Range } });
    expect(answer.status).toBe(416);
    expect(answer.headers['content-range']).toBe('bytes */2048');
    expect(answer.text).toContain('RANGE_INVALID');
    expect(front.blob.opened).toEqual([]);
    await expectAllClosed(front);
  });

  it.each(['items=0-5', 'bytes=0-2000, 0-2000', 'bytes='])('%s is ignored: 200 with everything', async (Range) => {
    await using front = await frontWithBlob();
    const answer = await ask(front.port, front.path, { headers: { Range } });
    expect(answer.status).toBe(200);
    expect(answer.body.equals(front.bytes)).toBe(true);
  });

  it('tell the cache what is wanted first', async () => {
    await using front = await frontWithBlob();
    await ask(front.port, front.path, { headers: { Range: 'bytes=-8' } });
    expect(front.cache.blobQueries[0]?.ranges).toEqual(packRanges([{ kind: 'suffix', length: 8 }]));
  });

  it('several come as multipart, one part for each, in the order of the request', async () => {
    await using front = await frontWithBlob();
    const answer = await ask(front.port, front.path, { headers: { Range: 'bytes=100-199, 0-0, -5, 9999-, 100-109' } });
    expect(answer.status).toBe(206);
    expect(answer.headers['content-range']).toBeUndefined();
    expect(answer.headers['content-length']).toBe(String(answer.body.length));
    const parts = partsOf(answer);
    expect(parts.map(({ range }) => range)).toEqual(['100-199', '0-0', '2043-2047', '100-109']);
    expect(parts[1]?.bytes.equals(front.bytes.subarray(0, 1))).toBe(true);
    expect(parts[2]?.bytes.equals(front.bytes.subarray(2043))).toBe(true);
    await expectAllClosed(front);
    expect(front.blob.opened).toEqual([{ start: 0, end: 2048 }]);
  });

  it('1,024 of them in one header of more than 16 KiB are 1,024 parts', async () => {
    await using front = await frontWithBlob(new FakeBlob(patternSource(4 * 1024 * 1024)));
    const starts = Array.from({ length: 1024 }, (_, i) => 1_000_000 + i * 3000);
    const Range = `bytes=${starts.map((start) => `${start}-${start + 99}`).join(',')}`;
    expect(Range.length).toBeGreaterThan(16 * 1024);
    const parts = partsOf(await ask(front.port, front.path, { headers: { Range } }));
    expect(parts.length).toBe(1024);
    const wrong = parts.filter(
      ({ bytes }, i) => !bytes.equals(front.bytes.subarray(starts[i], (starts[i] ?? 0) + 100)),
    );
    expect(wrong).toEqual([]);
    expect(front.blob.opened.length).toBe(1);
    expect(front.blob.reads).toBeLessThan(60);
    await expectAllClosed(front);
  });

  it('several that are long together end with the proof, however short each of them is', async () => {
    const mib = 1024 * 1024;
    await using front = await frontWithBlob(new FakeBlob(patternSource(8 * mib)));
    front.blob.outcome = { kind: 'miss' };
    front.blob.isProved = false;
    const Range = (last: number): string => `bytes=${mib}-${3 * mib - 1},${4 * mib}-${last}`;
    await ask(front.port, front.path, { headers: { Range: Range(6 * mib - 1) } });
    expect(front.blob.opened.map(({ isHeldBack }) => isHeldBack === true)).toEqual([false, false]);
    await ask(front.port, front.path, { headers: { Range: Range(6 * mib) } });
    expect(front.blob.opened.slice(2).map(({ isHeldBack }) => isHeldBack === true)).toEqual([false, true]);
    await expectAllClosed(front);
  });

  it('several that are short and together everything end with the proof', async () => {
    await using front = await frontWithBlob(new FakeBlob(patternSource(200_000)));
    front.blob.outcome = { kind: 'miss' };
    front.blob.isProved = false;
    for (const Range of ['bytes=0-99,100-199998', 'bytes=0-99,100-199999'])
      await ask(front.port, front.path, { headers: { Range } });
    expect(front.blob.opened.map(({ isHeldBack }) => isHeldBack === true)).toEqual([false, false, false, true]);
    await expectAllClosed(front);
  });

  it('any combination gives the bytes that it names', async () => {
    await using front = await frontWithBlob();
    const spec = fc.oneof(
      fc.tuple(fc.nat(2100), fc.nat(2100)).map(([a, b]) => `${Math.min(a, b)}-${Math.max(a, b)}`),
      fc.nat(2100).map((a) => `${a}-`),
      fc.nat(2100).map((a) => `-${a}`),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(spec, { minLength: 1, maxLength: 4 }), async (specs) => {
        const answer = await ask(front.port, front.path, { headers: { Range: `bytes=${specs.join(',')}` } });
        if (answer.status === 416) {
          expect(answer.headers['content-range']).toBe('bytes */2048');
        } else if (answer.status === 200) {
          expect(answer.body.equals(front.bytes)).toBe(true);
        } else {
          expect(answer.status).toBe(206);
          const single = answer.headers['content-range']?.replace(/^bytes ([0-9-]+)\/2048$/, '$1');
          const parts = single === undefined ? partsOf(answer) : [{ range: single, bytes: answer.body }];
          for (const { range, bytes } of parts) {
            const [first = NaN, last = NaN] = range.split('-').map(Number);
            expect(bytes.equals(front.bytes.subarray(first, last + 1))).toBe(true);
          }
        }
      }),
      { numRuns: 60 },
    );
    await expectAllClosed(front);
  });

  it('If-Range with the strong tag keeps the range, anything else means the whole', async () => {
    await using front = await frontWithBlob();
    const statusFor = async (condition: string): Promise<number> => {
      const headers = { Range: 'bytes=1-2', 'If-Range': condition };
      return (await ask(front.port, front.path, { headers })).status;
    };
    expect(await statusFor(`"${front.blob.digest}"`)).toBe(206);
    expect(await statusFor(`W/"${front.blob.digest}"`)).toBe(200);
    expect(await statusFor('Wed, 21 Oct 2026 07:28:00 GMT')).toBe(200);
    expect(front.cache.blobQueries.map(({ ranges }) => ranges === undefined)).toEqual([false, true, true]);
  });
});

describe('a blob whose size is not known yet', () => {
  it('is chunked for HTTP/1.1, whole and with a clean end', async () => {
    const blob = FakeBlob.pending(patternSource(300_000));
    blob.isSizeKnown = false;
    await using front = await frontWithBlob(blob);
    blob.advance(100_000);
    const pending = rawFetch(`${front.origin}${front.path}`);
    await eventually(() => blob.waiting > 0);
    blob.prove();
    const answer = await pending;
    expect(answer.headers['transfer-encoding']).toBe('chunked');
    expect(answer.headers['content-length']).toBeUndefined();
    expect([answer.cleanEnd, answer.bytes]).toEqual([true, 300_000]);
    expect(answer.body.equals(front.bytes)).toBe(true);
    await expectAllClosed(front);
  });

  it('gives an HTTP/1.0 client nothing before it is proved, and then its length', async () => {
    const blob = FakeBlob.pending(patternSource(200_000));
    blob.isSizeKnown = false;
    await using front = await frontWithBlob(blob);
    blob.advance(199_999);
    const pending = rawFetch(`${front.origin}${front.path}`, { version: '1.0' });
    await eventually(() => blob.waiting > 0);
    expect(blob.opened).toEqual([]);
    blob.prove();
    const answer = await pending;
    expect(answer.headers['content-length']).toBe('200000');
    expect([answer.cleanEnd, answer.bytes]).toEqual([true, 200_000]);
    await expectAllClosed(front);
  });

  it('gives an HTTP/1.0 client nothing when what was proved is not kept, and comes once more', async () => {
    const blob = FakeBlob.pending(patternSource(200_000));
    blob.isSizeKnown = false;
    await using front = await frontWithBlob(blob);
    front.cache.before = async () => {
      if (front.cache.blobQueries.length < 2) return;
      blob.isProved = false;
      blob.isSizeKnown = false;
    };
    const pending = rawFetch(`${front.origin}${front.path}`, { version: '1.0' });
    await eventually(() => blob.waiting > 0);
    blob.prove();
    await eventually(() => blob.viewCloses > 0 || blob.waiting > 0);
    blob.fail(new BrokenBodyError('other bytes'));
    const answer = await pending;
    expect([answer.status, answer.headers['retry-after']]).toEqual([503, expect.any(String)]);
    await expectAllClosed(front);
  });

  it('answers a range when the size is known, and never with 200', async () => {
    const blob = FakeBlob.pending(patternSource(200_000));
    blob.isSizeKnown = false;
    await using front = await frontWithBlob(blob);
    const pending = ask(front.port, front.path, { headers: { Range: 'bytes=-10' } });
    await eventually(() => blob.waiting > 0);
    blob.prove();
    const answer = await pending;
    expect([answer.status, answer.headers['content-range']]).toEqual([206, 'bytes 199990-199999/200000']);
    await expectAllClosed(front);
  });

  it('refuses a range with 503 at the head deadline, while the transfer goes on', async () => {
    const clock = new FakeClock();
    const blob = FakeBlob.pending(patternSource(200_000));
    blob.isSizeKnown = false;
    await using front = await frontWithBlob(blob, { clock });
    const pending = ask(front.port, front.path, { headers: { Range: 'bytes=-10' } });
    await eventually(() => blob.waiting > 0);
    await clock.advance(22_000);
    const answer = await pending;
    expect([answer.status, answer.headers['retry-after'], answer.text.includes('how long')]).toEqual([503, '5', true]);
    await expectAllClosed(front);
  });

  it('refuses a range with 503 when the size cannot be learnt', async () => {
    const blob = FakeBlob.pending(patternSource(200_000));
    blob.isSizeKnown = false;
    blob.fail(new BrokenBodyError('a blob that is only passed through cannot be proved beforehand'));
    await using front = await frontWithBlob(blob);
    const answer = await ask(front.port, front.path, { headers: { Range: 'bytes=-10' } });
    expect([answer.status, answer.headers['retry-after']]).toEqual([503, '5']);
    expect(answer.text).toContain('UNAVAILABLE');
    await expectAllClosed(front);
  });
});
