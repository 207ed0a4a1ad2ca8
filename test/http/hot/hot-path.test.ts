import { describe, expect, it } from 'vitest';
import type { LeasedAnswer, PeekQuery } from '../../../src/cache/contract/cache.ts';
import { type Digest, digestOf } from '../../../src/oci/digest.ts';
import { RawConnection, type RawResponse } from '../../support/raw-client.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { eventually } from '../../support/gate.ts';
import { bytesOf, FakeBlob, patternSource } from '../support/fake-cache.ts';
import { type Front, startFront } from '../support/front.ts';

const imageType = 'application/vnd.oci.image.manifest.v1+json';
const bytes = Buffer.from(`\ufeff{"mediaType": "${imageType}"}\n`);
const path = '/v2/library/alpine/manifests/3.20';

interface Lease {
  holdsMs: number;
  freshMs: number | undefined;
}

interface Leasing extends Front {
  readonly digest: Digest;
  readonly lease: Lease;
  readonly peeks: readonly PeekQuery[];
}

/** A front whose cache leases one manifest, under a tag and its digest, and one small blob. */
async function leasing({
  clock,
  mediaType = imageType,
}: { clock?: FakeClock; mediaType?: string } = {}): Promise<Leasing> {
  const front = await startFront(clock === undefined ? {} : { clock });
  const digest = digestOf(bytes);
  front.cache.addManifest('docker.io/library/alpine', '3.20', { bytes, mediaType });
  const lease: Lease = { holdsMs: 30_000, freshMs: 60_000 };
  const peeks: PeekQuery[] = [];
  front.cache.peek = async (query): Promise<LeasedAnswer | undefined> => {
    peeks.push(query);
    if (query.kind !== 'manifest' || query.repository !== 'library/alpine') return undefined;
    return {
      digest,
      mediaType,
      sizeBytes: bytes.length,
      bytes: query.method === 'get' ? bytes : undefined,
      outcome: { kind: 'hit' },
      stamp: front.changes.stamp(query.repository),
      ...lease,
    };
  };
  return { ...front, digest, lease, peeks };
}

const injected = 'X-Injected: yes\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK';

async function exchange(connection: RawConnection, target: string, method = 'GET'): Promise<RawResponse> {
  connection.send(target, { method, headers: { 'User-Agent': 'test "quoted"' } });
  const head = await connection.head();
  return { ...head, ...(await connection.body(head, method, { keep: true })) };
}

describe('the hot path', () => {
  it('answers what it was told once again and again, as node:http would, and accounts for each', async () => {
    await using front = await leasing();
    using connection = await RawConnection.open(front.origin);
    const answers: RawResponse[] = [];
    for (let i = 0; i < 3; i++) answers.push(await exchange(connection, path));
    expect(front.peeks.length).toBe(1);
    expect(front.cache.manifestQueries).toEqual([]);
    expect(answers.map(({ status, body }) => [status, body.equals(bytes)])).toEqual([0, 1, 2].map(() => [200, true]));
    expect(new Set(answers.map(({ headers }) => headers['x-request-id'])).size).toBe(3);
    await eventually(() => front.ended.length === 3);

    // The same by way of node:http, which an If-None-Match asks for.
    connection.send(path, { headers: { 'User-Agent': 'test "quoted"', 'If-None-Match': '"x"' } });
    const head = await connection.head();
    await connection.body(head);
    await eventually(() => front.ended.length === 4);
    const varying = { 'x-request-id': '', date: '', 'keep-alive': '', 'cache-status': '' };
    expect({ ...answers[0]?.headers, ...varying }).toEqual({ ...head.headers, ...varying });
    expect(answers[0]?.headers['cache-status']).toBe('weir; hit; ttl=60');
    const [fast, , , slow] = front.ended.map((event) => ({ ...event, seconds: 0 }));
    expect(fast).toEqual(slow);
    const [fastLine, , , slowLine] = front.log.requests.map((line) => ({ ...line, requestId: '', seconds: 0 }));
    expect(fastLine).toEqual(slowLine);
    expect(Object.keys(fastLine ?? {})).toEqual(Object.keys(slowLine ?? {}));
  });

  it('answers HEAD without a body, and keeps it apart from GET', async () => {
    await using front = await leasing();
    using connection = await RawConnection.open(front.origin);
    for (const method of ['HEAD', 'GET', 'HEAD', 'GET']) {
      const { headers, body } = await exchange(connection, path, method);
      expect([headers['content-length'], body.length]).toEqual([
        String(bytes.length),
        method === 'GET' ? bytes.length : 0,
      ]);
    }
    expect(front.peeks.map(({ method }) => method)).toEqual(['head', 'get']);
  });

  it('hands a connection on with its unread bytes, whatever they are, and nothing is lost or answered twice', async () => {
    await using front = await leasing();
    const blob = new FakeBlob(patternSource(300_000));
    front.cache.blobs.set(`docker.io/library/alpine@${blob.digest}`, blob);
    const plain = `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`;
    const ranged = `GET /v2/library/alpine/blobs/${blob.digest} HTTP/1.1\r\nHost: x\r\nRange: bytes=5-104\r\n\r\n`;
    // In one packet; cut in the middle of a head; and byte by byte at the border between two.
    for (const cuts of [[], [10], [plain.length - 1, plain.length, plain.length + 1], [2 * plain.length + 3]]) {
      using connection = await RawConnection.open(front.origin);
      const all = plain + plain + ranged + plain;
      let from = 0;
      for (const cut of [...cuts, all.length]) {
        connection.write(all.slice(from, cut));
        from = cut;
        // A packet of its own: what was sent is read before more is.
        await new Promise((resolve) => setImmediate(resolve));
      }
      const statuses: number[] = [];
      for (let i = 0; i < 4; i++) {
        const head = await connection.head();
        const { body } = await connection.body(head, 'GET', { keep: true });
        statuses.push(head.status);
        expect(body.equals(head.status === 206 ? bytesOf(blob.source, 5, 105) : bytes)).toBe(true);
      }
      expect(statuses).toEqual([200, 200, 206, 200]);
    }
  });

  it('asks again when the lease is over: by its time, on either clock, or because something has changed', async () => {
    const clock = new FakeClock();
    await using front = await leasing({ clock });
    using connection = await RawConnection.open(front.origin);
    const askedAfter = async (change: () => unknown): Promise<number> => {
      await change();
      const before = front.peeks.length;
      await exchange(connection, path);
      return front.peeks.length - before;
    };
    expect(await askedAfter(() => undefined)).toBe(1);
    expect(await askedAfter(() => clock.advance(29_000))).toBe(0);
    expect(await askedAfter(() => clock.advance(2_000))).toBe(1);
    expect(await askedAfter(() => front.changes.bump('something else'))).toBe(0);
    expect(await askedAfter(() => front.changes.bump('library/alpine'))).toBe(1);
    expect(await askedAfter(() => front.changes.bumpAll())).toBe(1);
    expect(await askedAfter(() => clock.setWallTime(clock.now() - 3_600_000))).toBe(1);
  });

  it('counts the freshness of a tag down', async () => {
    const clock = new FakeClock();
    await using front = await leasing({ clock });
    using connection = await RawConnection.open(front.origin);
    const seen: (string | undefined)[] = [];
    for (const ms of [0, 10_000, 500, 10_000]) {
      await clock.advance(ms);
      seen.push((await exchange(connection, path)).headers['cache-status']);
    }
    expect(seen).toEqual(['weir; hit; ttl=60', 'weir; hit; ttl=50', 'weir; hit; ttl=50', 'weir; hit; ttl=40']);
    expect(front.peeks.length).toBe(1);
  });

  it('what the cache will not lease is answered in full, and so is the next request of that connection', async () => {
    await using front = await leasing();
    front.cache.peek = () => Promise.resolve(undefined);
    using connection = await RawConnection.open(front.origin);
    for (let i = 0; i < 2; i++) expect((await exchange(connection, path)).body.equals(bytes)).toBe(true);
    expect(front.cache.manifestQueries.length).toBe(2);
  });

  it('a client that reads nothing is not read any further, and all answers come when it does', async () => {
    await using front = await leasing();
    const large = Buffer.alloc(60_000, 'a');
    // Requests that come together go on to node:http, which gives the same.
    front.cache.addManifest('docker.io/library/alpine', '3.20', { bytes: large, mediaType: imageType });
    front.cache.peek = async (query) => ({
      digest: digestOf(large),
      mediaType: imageType,
      sizeBytes: large.length,
      bytes: query.method === 'get' ? large : undefined,
      outcome: { kind: 'hit' },
      stamp: front.changes.stamp(),
      holdsMs: 30_000,
      freshMs: undefined,
    });
    using connection = await RawConnection.open(front.origin);
    await exchange(connection, path);
    connection.socket.pause();
    const requests = 600;
    for (let i = 0; i < requests; i++) {
      connection.send(path, { headers: { 'User-Agent': 'test "quoted"' } });
      await new Promise((resolve) => setImmediate(resolve));
    }
    connection.socket.resume();
    for (let i = 0; i < requests; i++) {
      const head = await connection.head();
      expect((await connection.body(head, 'GET')).bytes).toBe(large.length);
    }
  });

  it('idle connections end at once when the listener drains', async () => {
    await using front = await leasing();
    using idle = await RawConnection.open(front.origin);
    using silent = await RawConnection.open(front.origin);
    await exchange(idle, path);
    const drained = front.listener.drain(new AbortController().signal);
    expect([await idle.ended(), await silent.ended()]).toEqual(['fin', 'fin']);
    expect(await drained).toBe(0);
  });

  it.each([
    ['a line end', `application/x\r\n${injected}`],
    ['a bare line feed', `application/x\n${injected}`],
    ['letters that latin1 cuts down to a line end', `application/x\u010d\u010a${injected}`],
    ['NUL', 'application/x\u0000y'],
    ['DEL', 'application/x\u007f'],
  ])('never writes a header value with %s, nor does node:http', async (_, mediaType) => {
    await using front = await leasing({ mediaType });
    using connection = await RawConnection.open(front.origin);
    for (const method of ['GET', 'HEAD']) {
      const answer = await exchange(connection, path, method);
      expect([answer.status, answer.headers['x-injected']]).toEqual([500, undefined]);
    }
  });
});
