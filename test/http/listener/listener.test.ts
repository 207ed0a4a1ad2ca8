import { createServer, type Server } from 'node:net';
import { describe, expect, it } from 'vitest';
import { ListenError } from '../../../src/http/listener/listen-error.ts';
import { Listener, type ListenOptions } from '../../../src/http/listener/listener.ts';
import { systemClock } from '../../../src/lib/clock.ts';
import { silentLogger } from '../../../src/lib/log.ts';
import { eventually, Gate } from '../../support/gate.ts';
import { RecordingLogger } from '../../store/support/harness.ts';
import { expectNoLeaks, takeSnapshot } from '../../support/leaks.ts';
import { NoResponseError, RawConnection, rawFetch } from '../../support/raw-client.ts';
import { testCertificate, testKey } from '../../support/tls.ts';
import { FakeBlob, patternSource } from '../support/fake-cache.ts';
import { startFront } from '../support/front.ts';

function listen(options: Partial<ListenOptions> = {}): Promise<Listener> {
  return Listener.listen({
    name: 'listen',
    host: '127.0.0.1',
    port: 0,
    handler: (_req, res) => void res.end('ok'),
    clock: systemClock,
    logger: silentLogger,
    ...options,
  });
}

async function refusal(options: Partial<ListenOptions>): Promise<ListenError> {
  try {
    await (await listen(options)).drain(AbortSignal.abort());
  } catch (error) {
    if (error instanceof ListenError) return error;
    throw error;
  }
  throw new Error('it listens');
}

function occupy(): Promise<Server> {
  const server = createServer();
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server)));
}

describe('listening', () => {
  it('says which key cannot have which address, and why', async () => {
    const taken = await occupy();
    const address = taken.address();
    const port = typeof address === 'object' ? (address?.port ?? 0) : 0;
    const inUse = await refusal({ name: 'admin.listen', port });
    taken.close();
    expect([inUse.kind, inUse.message]).toEqual([
      'inUse',
      `admin.listen: cannot listen on 127.0.0.1:${port}: the address is in use, maybe by another weir`,
    ]);
    const elsewhere = await refusal({ host: '192.0.2.1', port: 5000 });
    expect([elsewhere.kind, elsewhere.message]).toEqual([
      'badAddress',
      'listen: cannot listen on 192.0.2.1:5000: this machine has no such address',
    ]);
    expect((await refusal({ tls: { cert: 'no pem', key: 'no pem' } })).kind).toBe('tls');
    expect((await refusal({ tls: { cert: testCertificate, key: testCertificate } })).kind).toBe('tls');
  });

  it('speaks TLS where it has a certificate', async () => {
    const listener = await listen({ tls: { cert: testCertificate, key: testKey } });
    const answer = await rawFetch(`https://127.0.0.1:${listener.address.port}/`);
    expect([answer.status, answer.body.toString(), answer.cleanEnd]).toEqual([200, 'ok', true]);
    await listener.drain(AbortSignal.abort());
  });

  it.each([
    ['longer than clients and load balancers do', {}, 'timeout=620'],
    ['as long as it is told', { keepAliveMs: 30_000 }, 'timeout=30'],
  ])('keeps a connection %s', async (_, options, expected) => {
    const listener = await listen(options);
    const answer = await rawFetch(`http://127.0.0.1:${listener.address.port}/`);
    expect(answer.headers['keep-alive']).toContain(expected);
    await listener.drain(AbortSignal.abort());
  });

  it('takes no more connections than it may, and tells the operator, once for many', async () => {
    const logger = new RecordingLogger();
    const handler: ListenOptions['handler'] = (req, res) => void (req.url === '/held' ? res.write('x') : res.end('ok'));
    const listener = await listen({ maxConnections: 3, logger, handler });
    const url = `http://127.0.0.1:${listener.address.port}`;
    const held = await Promise.all([1, 2, 3].map(() => RawConnection.open(url)));
    for (const connection of held) {
      connection.send('/held');
      await connection.head();
    }
    for (let turn = 0; turn < 3; turn++) await expect(rawFetch(`${url}/`)).rejects.toThrow();
    expect(logger.lines).toEqual([
      {
        level: 'warn',
        message: expect.stringContaining('ulimit -n') as string,
        fields: { listener: 'listen', maxConnections: 3 },
      },
    ]);
    for (const connection of held) connection.close();
    await eventually(() => listener.connections === 0);
    expect((await rawFetch(`${url}/`)).status).toBe(200);
    await listener.drain(AbortSignal.abort());
  });
});

describe('what is no request', () => {
  it('CONNECT is refused', async () => {
    await using front = await startFront();
    using connection = await RawConnection.open(front.origin);
    connection.write('CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n');
    const head = await connection.head();
    expect([head.status, head.headers.allow]).toEqual([405, 'GET, HEAD']);
    expect(await connection.ended()).not.toBe('closed');
  });

  it('an offer to upgrade is not taken up', async () => {
    await using front = await startFront();
    const headers = {
      Connection: 'Upgrade, HTTP2-Settings',
      Upgrade: 'h2c',
      'HTTP2-Settings': 'AAMAAABkAAQAoAAAAAIAAAAA',
    };
    const answer = await rawFetch(`${front.origin}/v2/`, { headers });
    expect([answer.status, answer.body.toString()]).toEqual([200, '{}']);
  });

  it('a bad request behind an answer in progress breaks the connection instead of mixing into it', async () => {
    const blob = FakeBlob.pending(patternSource(1_000_000));
    await using front = await startFront();
    front.cache.addBlob('docker.io/org/app', blob);
    blob.advance(1000);
    using connection = await RawConnection.open(front.origin);
    connection.send(`/v2/org/app/blobs/${blob.digest}`);
    const head = await connection.head();
    await eventually(() => blob.waiting > 0);
    connection.write('BROKEN \u0001\r\n\r\n');
    const body = await connection.body(head);
    expect([body.cleanEnd, body.bytes <= 1000, body.body.includes('errors')]).toEqual([false, true, false]);
    await eventually(() => blob.openViews === 0);
  });

  it('a bad request behind one that still waits breaks the connection, and answers neither', async () => {
    await using front = await startFront();
    const gate = new Gate('the cache');
    front.cache.before = () => gate.pass();
    using connection = await RawConnection.open(front.origin);
    connection.send('/v2/org/app/tags/list');
    await gate.arrived();
    connection.write('BROKEN\r\n\r\n');
    await expect(connection.head()).rejects.toThrow(NoResponseError);
    gate.open();
    await eventually(() => front.ended.length === 1);
    expect(front.ended[0]?.code).toBe(499);
  });

  it('two Hosts are found behind any number of headers', async () => {
    await using front = await startFront();
    using connection = await RawConnection.open(front.origin);
    connection.write(`GET /v2/ HTTP/1.1\r\nHost: a\r\n${'X: y\r\n'.repeat(5000)}Host: b\r\n\r\n`);
    expect((await connection.head()).status).toBe(400);
  });

  it('a head that is not finished in time is refused, however it drips', async () => {
    const listener = await listen({ headTimeoutMs: 500 });
    const url = `http://127.0.0.1:${listener.address.port}`;
    using connection = await RawConnection.open(url);
    connection.write('GET /v2/ HTTP/1.1\r\nHost: x\r\nX-Slow: ');
    let sent = 0;
    const drip = setInterval(() => {
      sent++;
      connection.write('a');
    }, 20);
    try {
      const head = await connection.head();
      expect([head.status, head.headers['content-type']]).toEqual([408, 'application/json']);
      expect(sent).toBeGreaterThan(1);
    } finally {
      clearInterval(drip);
      await listener.drain(AbortSignal.abort());
    }
  });

  it('a client that closes its side during a body without length gets no clean end', async () => {
    // Proved, so that an HTTP/1.0 client gets it, and ended by closing, since nobody knows its length.
    const blob = new FakeBlob(patternSource(1_000_000));
    blob.isSizeKnown = false;
    await using front = await startFront();
    front.cache.addBlob('docker.io/org/app', blob);
    blob.advance(500_000);
    using connection = await RawConnection.open(front.origin);
    connection.send(`/v2/org/app/blobs/${blob.digest}`, { version: '1.0' });
    const head = await connection.head();
    expect([head.headers['content-length'], head.headers['transfer-encoding']]).toEqual([undefined, undefined]);
    connection.socket.end();
    const body = await connection.body(head);
    expect(body.cleanEnd).toBe(false);
    await eventually(() => blob.openViews === 0);
  });
});

describe('draining', () => {
  it('lets answers finish, closes idle connections at once and takes no new ones', async () => {
    const before = takeSnapshot();
    {
      const blob = FakeBlob.pending(patternSource(1_000_000));
      const front = await startFront();
      front.cache.addBlob('docker.io/org/app', blob);
      blob.advance(1000);
      using idle = await RawConnection.open(front.origin);
      idle.send('/v2/');
      await idle.body(await idle.head());
      using busy = await RawConnection.open(front.origin);
      busy.send(`/v2/org/app/blobs/${blob.digest}`);
      const head = await busy.head();
      const drained = front.listener.drain(new AbortController().signal);
      expect(await idle.ended()).toBe('fin');
      await expect(RawConnection.open(front.origin)).rejects.toThrow();
      blob.prove();
      const body = await busy.body(head);
      expect([body.cleanEnd, body.bytes]).toEqual([true, 1_000_000]);
      expect(await drained).toBe(0);
    }
    await expectNoLeaks(before);
  });

  it('tells a waiting client to close after its answer', async () => {
    const front = await startFront();
    const gate = new Gate('the cache');
    front.cache.before = () => gate.pass();
    using connection = await RawConnection.open(front.origin);
    connection.send('/v2/org/app/tags/list');
    await gate.arrived();
    const drained = front.listener.drain(new AbortController().signal);
    gate.open();
    const head = await connection.head();
    expect([head.status, head.headers.connection]).toEqual([200, 'close']);
    expect(await drained).toBe(0);
  });

  it('breaks what is not finished at the deadline, with a reset', async () => {
    const deadline = new AbortController();
    const blob = FakeBlob.pending(patternSource(1_000_000));
    const front = await startFront();
    front.cache.addBlob('docker.io/org/app', blob);
    blob.advance(1000);
    using busy = await RawConnection.open(front.origin);
    busy.send(`/v2/org/app/blobs/${blob.digest}`);
    const head = await busy.head();
    const drained = front.listener.drain(deadline.signal);
    deadline.abort();
    expect(await drained).toBe(1);
    const body = await busy.body(head);
    expect([body.cleanEnd, body.reset]).toEqual([false, true]);
    await eventually(() => blob.openViews === 0);
    await expect(rawFetch(`${front.origin}/`)).rejects.not.toThrow(NoResponseError);
  });
});
