import { describe, expect, it } from 'vitest';
import { eventually, Gate } from '../../support/gate.ts';
import { NoResponseError, RawConnection } from '../../support/raw-client.ts';
import { FakeBlob, patternSource } from '../support/fake-cache.ts';
import { startFront } from '../support/front.ts';

const get = (target: string, ...lines: readonly string[]): string =>
  `GET ${target} HTTP/1.1\r\n${['Host: weir', ...lines].join('\r\n')}\r\n\r\n`;
const connectRequest = 'CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n';

describe('CONNECT behind another request', () => {
  it('is never answered before it', async () => {
    await using front = await startFront();
    const gate = new Gate('the cache');
    front.cache.before = () => gate.pass();
    using connection = await RawConnection.open(front.origin);
    connection.write(get('/v2/org/app/tags/list') + connectRequest);
    await expect(connection.head()).rejects.toThrow(NoResponseError);
    gate.open();
    await eventually(() => front.listener.connections === 0);
  });

  it('is never answered in the middle of it', async () => {
    const blob = FakeBlob.pending(patternSource(1_000_000));
    await using front = await startFront();
    front.cache.addBlob('docker.io/org/app', blob);
    blob.advance(1000);
    using connection = await RawConnection.open(front.origin);
    connection.write(get(`/v2/org/app/blobs/${blob.digest}`));
    const head = await connection.head();
    await eventually(() => blob.waiting > 0);
    connection.write(connectRequest);
    const body = await connection.body(head);
    expect([body.cleanEnd, body.body.includes('HTTP/1.1')]).toEqual([false, false]);
    await eventually(() => blob.openViews === 0);
  });

  it('and one with a body ends the connection', async () => {
    await using front = await startFront();
    using connection = await RawConnection.open(front.origin);
    connection.write('CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\nContent-Length: 5\r\n\r\nab');
    expect((await connection.head()).status).toBe(405);
    await eventually(() => front.listener.connections === 0);
  });
});

describe('what comes behind the end that a request asked for', () => {
  it.each([
    ['in the same packet', true],
    ['later', false],
  ])('gets no answer, and the request gets its own: %s', async (_, isTogether) => {
    await using front = await startFront();
    const gate = new Gate('the cache');
    front.cache.before = () => gate.pass();
    using connection = await RawConnection.open(front.origin);
    const closing = get('/v2/org/app/tags/list', 'Connection: close');
    connection.write(isTogether ? closing + get('/v2/') : closing);
    await gate.arrived();
    if (!isTogether) connection.write(get('/v2/'));
    gate.open();
    const head = await connection.head();
    const body = await connection.body(head);
    expect([head.status, head.headers.connection, body.cleanEnd]).toEqual([200, 'close', true]);
    await expect(connection.head()).rejects.toThrow(NoResponseError);
    await eventually(() => front.listener.connections === 0);
    expect(front.ended.length).toBe(1);
  });

  it('does not take the answers of those before it away', async () => {
    await using front = await startFront();
    const gate = new Gate('the cache');
    front.cache.before = () => gate.pass();
    using connection = await RawConnection.open(front.origin);
    connection.write(get('/v2/org/app/tags/list') + get('/v2/', 'Connection: close') + get('/v2/'));
    await gate.arrived();
    gate.open();
    const statuses: number[] = [];
    for (let i = 0; i < 2; i++) {
      const head = await connection.head();
      await connection.body(head);
      statuses.push(head.status);
    }
    expect(statuses).toEqual([200, 200]);
    await expect(connection.head()).rejects.toThrow(NoResponseError);
  });
});

describe('an offer to upgrade', () => {
  it('is answered, and what was sent behind it is told that the connection is over', async () => {
    await using front = await startFront();
    using connection = await RawConnection.open(front.origin);
    connection.write(get('/v2/', 'Connection: Upgrade', 'Upgrade: websocket') + get('/v2/'));
    const head = await connection.head();
    const body = await connection.body(head);
    expect([head.status, head.headers.connection, body.cleanEnd]).toEqual([200, 'close', true]);
    await expect(connection.head()).rejects.toThrow(NoResponseError);
    await eventually(() => front.listener.connections === 0);
  });
});

describe('the version in the request line', () => {
  it.each(['HTTP/2.0', 'HTTP/0.9'])('%s is refused', async (version) => {
    await using front = await startFront();
    using connection = await RawConnection.open(front.origin);
    connection.write(get('/v2/').replace('HTTP/1.1', version));
    const head = await connection.head();
    const body = await connection.body(head);
    expect([head.status, head.headers.connection, body.cleanEnd]).toEqual([505, 'close', true]);
    await eventually(() => front.listener.connections === 0);
  });

  it('HTTP/1.0 is spoken', async () => {
    await using front = await startFront();
    using connection = await RawConnection.open(front.origin);
    connection.write(get('/v2/').replace('HTTP/1.1', 'HTTP/1.0'));
    expect((await connection.head()).status).toBe(200);
  });
});
