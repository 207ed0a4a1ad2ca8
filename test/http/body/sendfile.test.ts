/** Bodies by sendfile, as clients see them: on real sockets, from a real file. */
import { describe, expect, it } from 'vitest';
import { BrokenBodyError } from '../../../src/fill/contract/errors.ts';
import type { Libc } from '../../../src/http/body/libc.ts';
import { Sendfile } from '../../../src/http/body/sendfile.ts';
import { silentLogger } from '../../../src/lib/log.ts';
import { digestOf } from '../../../src/oci/digest.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { eventually, Gate } from '../../support/gate.ts';
import { expectNoLeaks, takeSnapshot } from '../../support/leaks.ts';
import { RawConnection, rawFetch } from '../../support/raw-client.ts';
import { testCertificate, testKey } from '../../support/tls.ts';
import { bytesOf, type FakeBlob, patternSource } from '../support/fake-cache.ts';
import { FileBlob, loadSendfile } from '../support/file-blob.ts';
import { type Front, type FrontOptions, LinesLogger, startFront } from '../support/front.ts';

const size = 5_000_003;
const source = patternSource(size);
const mib = 1024 * 1024;

interface Rig extends Front {
  readonly blob: FakeBlob;
  readonly path: string;
  readonly url: string;
  readonly sendfile: Sendfile;
  readonly file: FileBlob;
}

interface RigOptions extends FrontOptions {
  readonly sizeBytes?: number;
  readonly isPending?: boolean;
}

/** With the system's calls, but for some of them. */
async function sendfileWith(calls: Partial<Libc>, concurrency = 2): Promise<Sendfile> {
  const { libc } = await loadSendfile();
  return new Sendfile({ ...libc, ...calls }, { logger: silentLogger, concurrency });
}

async function startRig(options: RigOptions = {}): Promise<Rig> {
  const sendfile = options.sendfile ?? (await loadSendfile());
  const file = await FileBlob.create(patternSource(options.sizeBytes ?? size), options.isPending);
  const front = await startFront({ ...options, sendfile });
  front.cache.addBlob('docker.io/org/app', file.blob);
  const path = `/v2/org/app/blobs/${file.blob.digest}`;
  return {
    ...front,
    blob: file.blob,
    path,
    url: `${front.origin}${path}`,
    sendfile,
    file,
    async [Symbol.asyncDispose]() {
      await front[Symbol.asyncDispose]();
      await eventually(() => file.blob.openReaders === 0 && sendfile.table.size === 0 && sendfile.turns.active === 0);
      await file[Symbol.asyncDispose]();
    },
  };
}

describe.each([
  ['from memory', true],
  ['from a disk', false],
])('a body by sendfile, %s', (_, isCached) => {
  const rig = async (options: RigOptions = {}): Promise<Rig> =>
    startRig({ ...options, sendfile: await sendfileWith({ isCached: () => isCached }) });

  it('has the right bytes, whole and in part', async () => {
    await using front = await rig();
    const whole = await rawFetch(front.url);
    expect([whole.cleanEnd, whole.sha256]).toEqual([true, digestOf(bytesOf(source))]);
    const part = await rawFetch(front.url, { headers: { Range: 'bytes=1234567-4000000' } });
    expect([part.status, part.cleanEnd]).toEqual([206, true]);
    expect(part.body.equals(bytesOf(source, 1_234_567, 4_000_001))).toBe(true);
    expect(front.blob.sentBytes + front.blob.readBytes).toBe(size + 4_000_001 - 1_234_567);
    expect(front.blob.sentBytes).toBeGreaterThan(front.blob.readBytes);
    await eventually(() => front.ended.length === 2);
    expect(front.ended.map(({ bytes }) => bytes)).toEqual([size, 4_000_001 - 1_234_567]);
  });

  it('has the right bytes and frames in several parts, of which small ones are copied', async () => {
    await using front = await rig();
    const answer = await rawFetch(front.url, {
      headers: { Range: 'bytes=0-99,1000-2000000,3000000-3000100,-1500000' },
    });
    expect([answer.status, answer.cleanEnd]).toEqual([206, true]);
    const [, boundary = ''] = /boundary=(\w+)$/.exec(answer.headers['content-type'] ?? '') ?? [];
    const spans = [
      [0, 100],
      [1000, 2_000_001],
      [3_000_000, 3_000_101],
      [size - 1_500_000, size],
    ] as const;
    const expected = spans.flatMap(([start, end], index) => [
      Buffer.from(
        `${index === 0 ? '' : '\r\n'}--${boundary}\r\nContent-Range: bytes ${start}-${end - 1}/${size}\r\nContent-Type: application/octet-stream\r\n\r\n`,
      ),
      bytesOf(source, start, end),
    ]);
    expect(answer.body.equals(Buffer.concat([...expected, Buffer.from(`\r\n--${boundary}--\r\n`)]))).toBe(true);
    expect(front.blob.sentBytes).toBeGreaterThan(2_000_000);
    expect(front.sendfile.table.size).toBe(0);
  });

  it('leaves a connection that goes on, with requests that waited', async () => {
    await using front = await rig();
    using connection = await RawConnection.open(front.origin);
    for (let i = 0; i < 3; i++) connection.send(front.path);
    connection.send(front.path, { headers: { Range: 'bytes=7-8' } });
    connection.send(front.path, { method: 'HEAD' });
    for (let i = 0; i < 3; i++) {
      const head = await connection.head();
      const body = await connection.body(head, 'GET', { keep: false });
      expect([head.status, body.cleanEnd, body.sha256]).toEqual([200, true, digestOf(bytesOf(source))]);
    }
    const part = await connection.body(await connection.head());
    expect(part.body.equals(bytesOf(source, 7, 9))).toBe(true);
    expect((await connection.head()).headers['content-length']).toBe(String(size));
    connection.send(front.path);
    const last = await connection.body(await connection.head());
    expect(last.sha256).toBe(digestOf(bytesOf(source)));
  });

  it('answers HTTP/1.0 with the whole body and a clean end', async () => {
    await using front = await rig();
    const answer = await rawFetch(front.url, { version: '1.0' });
    expect([answer.cleanEnd, answer.reset, answer.sha256]).toEqual([true, false, digestOf(bytesOf(source))]);
    expect(front.blob.sentBytes).toBeGreaterThan(0);
  });

  it('is right for a client that reads slowly, and keeps little for one that stops', async () => {
    await using front = await rig({ sizeBytes: 40_000_000 });
    const gate = new Gate('the client reads on');
    const pending = rawFetch(front.url, { keep: false, stall: { at: 1_000_000, gate } });
    await gate.arrived();
    // The socket is full: what it is to take next was read.
    await eventually(() => front.blob.readBytes > 0);
    await eventually(() => front.sendfile.turns.active === 0 && front.blob.readBytes % 4096 === 0);
    expect(front.pool.bytesInUse).toBe(0);
    expect(front.blob.sentBytes).toBeLessThan(20_000_000);
    gate.open();
    const answer = await pending;
    expect([answer.cleanEnd, answer.sha256]).toEqual([true, digestOf(bytesOf(patternSource(40_000_000)))]);
  });

  it('cuts a client that takes nothing, and gives its descriptor back', async () => {
    const clock = new FakeClock();
    await using front = await rig({ sizeBytes: 40_000_000, clock });
    using stalled = await RawConnection.open(front.origin);
    stalled.socket.pause();
    stalled.send(front.path);
    await eventually(() => front.blob.readBytes > 0 && front.sendfile.turns.active === 0);
    const sent = front.blob.sentBytes;
    await clock.advance(14 * 60_000);
    expect(front.sendfile.table.size).toBe(1);
    await clock.advance(3 * 60_000);
    await eventually(() => front.sendfile.table.size === 0 && front.blob.openReaders === 0);
    expect(front.blob.sentBytes).toBe(sent);
    await eventually(() => front.ended.length === 1);
    expect(front.ended[0]?.bytes).toBe(sent + front.blob.readBytes - 4096);
  });

  it('stops at the watermark of a transfer, before the withheld byte, and goes on', async () => {
    await using front = await rig({ isPending: true });
    const { blob } = front;
    let received = 0;
    blob.advance(100_000);
    const pending = rawFetch(front.url, { onBytes: (total) => (received = total) });
    for (const to of [100_001, 2_000_000, 2_000_001, size - 1]) {
      blob.advance(to);
      await eventually(
        () => blob.waiting > 0 && received === to,
        () => `${received} of ${to}`,
      );
      expect(blob.sentBytes + blob.readBytes).toBe(to);
    }
    blob.prove();
    const answer = await pending;
    expect([answer.cleanEnd, answer.sha256]).toEqual([true, digestOf(bytesOf(source))]);
  });

  it('breaks with the transfer', async () => {
    await using front = await rig({ isPending: true });
    front.blob.advance(size - 1);
    const pending = rawFetch(front.url, { keep: false });
    await eventually(() => front.blob.waiting > 0);
    front.blob.fail(new BrokenBodyError('mismatch'));
    const answer = await pending;
    expect([answer.cleanEnd, answer.reset]).toEqual([false, true]);
    expect(answer.bytes).toBeLessThan(size);
  });

  it('breaks when the file is shorter than it should be', async () => {
    await using front = await rig();
    await front.file.truncate(3_000_000);
    const answer = await rawFetch(front.url, { keep: false });
    expect([answer.cleanEnd, answer.reset]).toEqual([false, true]);
    expect(answer.bytes).toBeLessThan(size);
    expect(front.blob.sentBytes).toBeLessThanOrEqual(3_000_000);
    await eventually(() => front.log.requests.length === 1);
    expect(front.log.requests[0]).toMatchObject({ error: expect.stringMatching(/^the file ends at \d+$/) as unknown });
  });
});

describe('what is not for sendfile', () => {
  const rig = startRig;

  it.each([
    ['TLS', { tls: { cert: testCertificate, key: testKey } }, {}],
    ['a small range', {}, { headers: { Range: 'bytes=5-5000' } }],
  ])('%s passes through buffers', async (_, options, request) => {
    await using front = await rig(options);
    const url = 'tls' in options ? front.url.replace('http:', 'https:') : front.url;
    const answer = await rawFetch(url, request);
    expect(answer.cleanEnd).toBe(true);
    expect(answer.body.equals('tls' in options ? bytesOf(source) : bytesOf(source, 5, 5001))).toBe(true);
    expect([front.blob.sentBytes, front.blob.readBytes]).toEqual([0, answer.bytes]);
  });

  it('a body without a length passes through buffers', async () => {
    await using front = await rig({ isPending: true });
    front.blob.isSizeKnown = false;
    front.blob.prove();
    front.blob.isSizeKnown = false;
    const answer = await rawFetch(front.url);
    expect([answer.headers['transfer-encoding'], answer.cleanEnd]).toEqual(['chunked', true]);
    expect(answer.sha256).toBe(digestOf(bytesOf(source)));
    expect(front.blob.sentBytes).toBe(0);
  });

  it('a library that cannot be loaded costs one line in the log', async () => {
    const logger = new LinesLogger();
    const load = (): never => {
      throw new Error('wrong ELF class');
    };
    expect(await Sendfile.load({ logger, concurrency: 1, load })).toBeUndefined();
    expect(logger.lines).toMatchObject([{ level: 'warn', fields: { err: { message: 'wrong ELF class' } } }]);
  });

  it('a system that refuses the call costs nothing but speed', async () => {
    const logger = new LinesLogger();
    const sendfile = await loadSendfile({ logger });
    await using front = await rig({ sendfile });
    // Not a regular file: EINVAL.
    front.blob.fd = 1_000_000;
    for (let i = 0; i < 2; i++) {
      const answer = await rawFetch(front.url);
      expect([answer.cleanEnd, answer.sha256]).toEqual([true, digestOf(bytesOf(source))]);
    }
    expect(front.blob.sentBytes).toBe(0);
    expect(logger.lines).toMatchObject([{ level: 'warn', fields: { err: { code: 'EBADF' } } }]);
  });
});

describe('many clients', () => {
  it('never have more calls in flight on the pool than they may, and all get their bytes', async () => {
    const { libc } = await loadSendfile();
    let inFlight = 0;
    let most = 0;
    const sendfile = await sendfileWith(
      {
        isCached: () => false,
        sendfile: async (...call) => {
          most = Math.max(most, ++inFlight);
          try {
            return await libc.sendfile(...call);
          } finally {
            inFlight--;
          }
        },
      },
      3,
    );
    await using front = await startRig({ sendfile });
    const answers = await Promise.all(Array.from({ length: 24 }, () => rawFetch(front.url, { keep: false })));
    expect(answers.map(({ sha256 }) => sha256)).toEqual(Array(24).fill(digestOf(bytesOf(source))));
    expect(most).toBe(3);
  });

  it('have one call between them in a turn of the event loop, which answers others meanwhile', async () => {
    const { libc } = await loadSendfile();
    let calls = 0;
    let crowded = 0;
    let wasCalledInThisTurn = false;
    const sendfile = await sendfileWith({
      isCached: () => true,
      sendfileNow: (...call) => {
        calls++;
        if (wasCalledInThisTurn) crowded++;
        wasCalledInThisTurn = true;
        setImmediate(() => (wasCalledInThisTurn = false));
        return libc.sendfileNow(...call);
      },
    });
    await using front = await startRig({ sendfile });
    const answers = await Promise.all(Array.from({ length: 24 }, () => rawFetch(front.url, { keep: false })));
    expect(answers.map(({ sha256 }) => sha256)).toEqual(Array(24).fill(digestOf(bytesOf(source))));
    expect(calls).toBeGreaterThan(24 * 9);
    expect(crowded).toBe(0);
  });

  it('never get the bytes of one that has left: every byte is checked, and every descriptor comes back', async () => {
    // By turns: both ways have to give their descriptors back.
    let calls = 0;
    const sendfile = await sendfileWith({ isCached: () => calls++ % 2 === 0 }, 8);
    const before = takeSnapshot();
    {
      const sizeBytes = 6 * mib + 11;
      await using front = await startRig({ sendfile, sizeBytes });
      // Numbers of closed descriptors go to whoever connects next; with different ranges a mix would show.
      let seed = 1;
      const random = (below: number): number => (seed = (seed * 48_271) % 2_147_483_647) % below;
      const expected = bytesOf(patternSource(sizeBytes));
      let left = 0;
      let complete = 0;
      const one = async (index: number): Promise<void> => {
        const start = random(2 * mib);
        const leave =
          index % 2 === 0
            ? { at: 1 + random(3 * mib), how: random(2) === 0 ? ('fin' as const) : ('rst' as const) }
            : undefined;
        const headers = { Range: `bytes=${start}-` };
        const answer = await rawFetch(front.url, { headers, ...(leave === undefined ? {} : { leave }) });
        expect(answer.body.equals(expected.subarray(start, start + answer.bytes))).toBe(true);
        if (leave !== undefined) left++;
        else if (answer.cleanEnd && answer.bytes === sizeBytes - start) complete++;
      };
      const waiting = Array.from({ length: 400 }, (_, index) => index);
      const worker = async (): Promise<void> => {
        for (let index = waiting.pop(); index !== undefined; index = waiting.pop()) await one(index);
      };
      await Promise.all(Array.from({ length: 64 }, worker));
      expect([left, complete]).toEqual([200, 200]);
      expect(front.blob.sentBytes).toBeGreaterThan(300 * mib);
    }
    await expectNoLeaks(before);
  }, 120_000);
});
