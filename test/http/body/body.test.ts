import { describe, expect, it } from 'vitest';
import { BrokenBodyError } from '../../../src/fill/contract/errors.ts';
import { largeBufferBytes, smallBufferBytes } from '../../../src/http/body/buffer-pool.ts';
import { digestOf } from '../../../src/oci/digest.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { eventually, Gate } from '../../support/gate.ts';
import { expectNoLeaks, takeSnapshot } from '../../support/leaks.ts';
import { RawConnection, rawFetch, type RawResponse } from '../../support/raw-client.ts';
import { testCertificate, testKey } from '../../support/tls.ts';
import { bytesOf, FakeBlob, patternSource } from '../support/fake-cache.ts';
import { type Front, type FrontOptions, startFront } from '../support/front.ts';

const repository = 'docker.io/org/app';
const gib = 1024 ** 3;

function pathOf(blob: FakeBlob): string {
  return `/v2/org/app/blobs/${blob.digest}`;
}

async function frontWith(blob: FakeBlob, options: FrontOptions = {}): Promise<Front & { url: string }> {
  const front = await startFront(options);
  front.cache.addBlob(repository, blob);
  return { ...front, url: `${front.origin}${pathOf(blob)}` };
}

async function expectAllClosed(front: Front, blob: FakeBlob): Promise<void> {
  await eventually(() => blob.openViews === 0 && blob.openReaders === 0);
  await eventually(() => front.pool.bytesInUse === 0 && front.stalls.size === 0);
}

/** Resolves when every sender waits for its socket: what is out stays the same while the event loop turns. */
async function standsStill({ pool }: Front): Promise<void> {
  let last = -1;
  await eventually(async () => {
    const now = pool.bytesInUse;
    await new Promise((resolve) => setTimeout(resolve, 50));
    const isStill = now > 0 && now === pool.bytesInUse && now === last;
    last = now;
    return isStill;
  });
}

describe('a body in progress', () => {
  it('follows the transfer and ends clean when the blob is proved', async () => {
    const blob = FakeBlob.pending(patternSource(1_000_000));
    await using front = await frontWith(blob);
    const first = new Gate('first bytes');
    blob.advance(1);
    const pending = rawFetch(front.url, { onBytes: () => void first.pass() });
    await first.arrived();
    for (const to of [2, 65_537, 500_000, 999_999]) {
      blob.advance(to);
      await eventually(() => blob.waiting > 0);
      expect(front.pool.bytesInUse).toBe(0);
    }
    blob.prove();
    const answer = await pending;
    expect([answer.status, answer.cleanEnd, answer.headers['content-length']]).toEqual([200, true, '1000000']);
    expect(answer.body.equals(bytesOf(blob.source))).toBe(true);
    await expectAllClosed(front, blob);
  });

  it('is right when reads are short and odd', async () => {
    const blob = new FakeBlob(patternSource(300_007));
    blob.maxRead = 977;
    await using front = await frontWith(blob);
    const answer = await rawFetch(front.url);
    expect([answer.cleanEnd, answer.sha256]).toEqual([true, digestOf(bytesOf(blob.source))]);
    await expectAllClosed(front, blob);
  });

  it('is right beyond the size at which buffers grow, for several clients at once', async () => {
    const blob = new FakeBlob(patternSource(24_000_001));
    await using front = await frontWith(blob);
    const answers = await Promise.all(Array.from({ length: 4 }, () => rawFetch(front.url, { keep: false })));
    const expected = digestOf(bytesOf(blob.source));
    expect(answers.map(({ sha256, cleanEnd }) => [sha256, cleanEnd])).toEqual(Array(4).fill([expected, true]));
    await expectAllClosed(front, blob);
    await eventually(() => front.ended.length === 4);
    expect(front.ended.map(({ bytes, code }) => [bytes, code])).toEqual(Array(4).fill([24_000_001, 200]));
  });

  it('is right over TLS', async () => {
    const blob = new FakeBlob(patternSource(6_000_000));
    await using front = await frontWith(blob, { tls: { cert: testCertificate, key: testKey } });
    const answer = await rawFetch(front.url.replace('http:', 'https:'), { keep: false });
    expect([answer.sha256, answer.cleanEnd]).toEqual([digestOf(bytesOf(blob.source)), true]);
    await expectAllClosed(front, blob);
  });
});

describe('a body that breaks', () => {
  const size = 200_000;

  interface Case {
    readonly at: number;
    readonly version: '1.0' | '1.1';
    readonly isSizeKnown: boolean;
    readonly isTls: boolean;
    readonly range?: string;
  }

  const cases: readonly Case[] = [1, 70_000, size - 1].flatMap((at) =>
    [false, true].flatMap(
      (isTls) =>
        [
          { at, version: '1.1', isSizeKnown: true, isTls },
          { at, version: '1.1', isSizeKnown: false, isTls },
          { at, version: '1.0', isSizeKnown: true, isTls },
          { at, version: '1.1', isSizeKnown: true, isTls, range: 'bytes=0-' },
          { at, version: '1.1', isSizeKnown: true, isTls, range: `bytes=0-0,99-${size - 1}` },
        ] as const,
    ),
  );

  async function breakAt({ at, version, isSizeKnown, isTls, range }: Case): Promise<RawResponse> {
    const blob = FakeBlob.pending(patternSource(size));
    blob.isSizeKnown = isSizeKnown;
    await using front = await frontWith(blob, isTls ? { tls: { cert: testCertificate, key: testKey } } : {});
    blob.advance(at);
    const url = isTls ? front.url.replace('http:', 'https:') : front.url;
    const seen = new Gate('bytes at the client');
    const pending = rawFetch(url, {
      version,
      headers: range === undefined ? {} : { Range: range },
      onBytes: () => void seen.pass(),
    });
    await seen.arrived();
    await eventually(() => blob.waiting > 0);
    blob.fail(new BrokenBodyError('digest mismatch of a secret kind'));
    const answer = await pending;
    await expectAllClosed(front, blob);
    expect([blob.viewCloses, blob.openReaders]).toEqual([1, 0]);
    expect(front.log.errors).toEqual([]);
    await eventually(() => front.log.requests.length === 1);
    expect(front.log.requests[0]).toMatchObject({ error: 'digest mismatch of a secret kind' });
    return answer;
  }

  it('never ends clean and says nothing: every framing, at every place', { timeout: 60_000 }, async () => {
    expect(cases.length).toBe(30);
    for (const one of cases) {
      const answer = await breakAt(one);
      expect(answer.cleanEnd, JSON.stringify(one)).toBe(false);
      expect(answer.body.toString('latin1'), JSON.stringify(one)).not.toContain('mismatch');
      if (one.range === undefined) {
        expect(answer.body.equals(bytesOf(patternSource(size), 0, answer.bytes)), JSON.stringify(one)).toBe(true);
        expect(answer.bytes).toBeLessThanOrEqual(one.at);
      }
      if (!one.isTls) expect(answer.reset, JSON.stringify(one)).toBe(true);
    }
  });

  it('a reader that ends before the declared length breaks the connection too', async () => {
    const blob = new FakeBlob(patternSource(size));
    await using front = await frontWith(blob);
    blob.declaredBytes = size + 1;
    const answer = await rawFetch(front.url);
    expect([answer.cleanEnd, answer.reset]).toEqual([false, true]);
    await expectAllClosed(front, blob);
  });
});

describe('a client that leaves', () => {
  it.each(['fin', 'rst'] as const)(
    'in the middle (%s) closes reader and view at once, and is no error',
    async (how) => {
      const before = takeSnapshot();
      {
        const blob = FakeBlob.pending(patternSource(50_000_000));
        await using front = await frontWith(blob);
        blob.advance(40_000_000);
        await rawFetch(front.url, { keep: false, leave: { at: 1_000_000, how } });
        await expectAllClosed(front, blob);
        expect([blob.viewCloses, blob.readerCloses]).toEqual([1, 1]);
        await eventually(() => front.ended.length === 1);
        expect(front.log.errors).toEqual([]);
        expect(front.log.requests[0]).toMatchObject({ status: 200, error: 'the client has left' });
      }
      await expectNoLeaks(before);
    },
  );

  it.each([false, true])('while it waits for bytes is noticed at once (TLS: %s)', async (isTls) => {
    const blob = FakeBlob.pending(patternSource(50_000_000));
    await using front = await frontWith(blob, isTls ? { tls: { cert: testCertificate, key: testKey } } : {});
    blob.advance(10);
    const connection = await RawConnection.open(isTls ? front.origin.replace('http:', 'https:') : front.origin);
    connection.send(pathOf(blob));
    await connection.head();
    await eventually(() => blob.waiting > 0);
    connection.close();
    await expectAllClosed(front, blob);
    expect(blob.waiting).toBe(0);
  });

  it('before there is anything to say counts as 499', async () => {
    const blob = FakeBlob.pending(patternSource(50_000_000));
    await using front = await frontWith(blob);
    const connection = await RawConnection.open(front.origin);
    connection.send(pathOf(blob));
    await eventually(() => blob.waiting > 0);
    connection.close();
    await eventually(() => front.ended.length === 1);
    expect(front.ended[0]).toMatchObject({ code: 499, bytes: 0, kind: 'blob', upstream: 'docker.io' });
    await expectAllClosed(front, blob);
  });

  it('at any moment of many gives everything back', async () => {
    const before = takeSnapshot();
    {
      const blob = FakeBlob.pending(patternSource(20_000_000));
      await using front = await frontWith(blob);
      const clients = Array.from({ length: 60 }, (_, i) =>
        rawFetch(front.url, { keep: false, leave: { at: 1 + i * 300_000, how: i % 2 === 0 ? 'fin' : 'rst' } }),
      );
      for (let at = 1; at < 20_000_000; at += 500_000) {
        blob.advance(at);
        await new Promise((resolve) => setImmediate(resolve));
      }
      blob.prove();
      const answers = await Promise.all(clients);
      expect(answers.every(({ bytes }, i) => bytes === 1 + i * 300_000)).toBe(true);
      await expectAllClosed(front, blob);
      expect(blob.viewCloses).toBe(60);
    }
    await expectNoLeaks(before);
  });
});

describe('readers that stall', () => {
  it('hold one small buffer each, and 300 of them cost little memory', { timeout: 60_000 }, async () => {
    const blob = new FakeBlob(patternSource(gib));
    await using front = await frontWith(blob);
    const baseline = process.memoryUsage().rss;
    const connections = await Promise.all(Array.from({ length: 300 }, () => RawConnection.open(front.origin)));
    for (const connection of connections) {
      connection.socket.pause();
      connection.send(pathOf(blob));
    }
    await eventually(() => blob.openReaders === 300);
    await standsStill(front);
    expect(front.pool.bytesInUse).toBeLessThanOrEqual(300 * smallBufferBytes);
    expect(process.memoryUsage().rss - baseline).toBeLessThan(120 * 1024 * 1024);
    for (const connection of connections) connection.close('rst');
    await expectAllClosed(front, blob);
  });

  it('do not slow others down', async () => {
    const blob = new FakeBlob(patternSource(30_000_000));
    await using front = await frontWith(blob);
    const stalled = await Promise.all(Array.from({ length: 20 }, () => RawConnection.open(front.origin)));
    for (const connection of stalled) {
      connection.socket.pause();
      connection.send(pathOf(blob));
    }
    await eventually(() => blob.openReaders === 20);
    const answer = await rawFetch(front.url, { keep: false });
    expect([answer.cleanEnd, answer.bytes]).toEqual([true, 30_000_000]);
    for (const connection of stalled) connection.close('rst');
    await expectAllClosed(front, blob);
  });

  it('that were quick before hold at most two large buffers', async () => {
    const blob = new FakeBlob(patternSource(gib));
    await using front = await frontWith(blob);
    const gate = new Gate('reading on');
    const pending = rawFetch(front.url, {
      keep: false,
      stall: { at: 40_000_000, gate },
      leave: { at: 41_000_000, how: 'rst' },
    });
    await gate.arrived();
    await standsStill(front);
    expect(front.pool.bytesInUse).toBeLessThanOrEqual(2 * largeBufferBytes);
    gate.open();
    await pending;
    await expectAllClosed(front, blob);
  });

  it('for 15 minutes are cut; waiting for the transfer does not count', async () => {
    const clock = new FakeClock();
    const full = new FakeBlob(patternSource(gib));
    const slow = FakeBlob.pending(patternSource(gib));
    await using front = await frontWith(full, { clock });
    front.cache.addBlob(repository, slow);
    slow.advance(100);
    using stalled = await RawConnection.open(front.origin);
    stalled.socket.pause();
    stalled.send(pathOf(full));
    using waiting = await RawConnection.open(front.origin);
    waiting.send(pathOf(slow));
    await waiting.head();
    await eventually(() => slow.waiting > 0 && full.openReaders === 1);
    await standsStill(front);
    await clock.advance(14 * 60_000);
    expect([full.openReaders, slow.openReaders]).toEqual([1, 1]);
    await clock.advance(3 * 60_000);
    await eventually(() => full.openReaders === 0);
    expect(slow.openReaders).toBe(1);
    waiting.close();
    await eventually(() => slow.openReaders === 0);
  });
});
