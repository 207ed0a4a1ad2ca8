import { Duplex } from 'node:stream';
import { connect, type Socket } from 'node:net';
import { describe, expect, it } from 'vitest';
import { refuseRaw } from '../../../src/http/listener/raw-refusal.ts';
import { Listener, type ListenOptions } from '../../../src/http/listener/listener.ts';
import { systemClock } from '../../../src/lib/clock.ts';
import { silentLogger } from '../../../src/lib/log.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { eventually } from '../../support/gate.ts';
import { RawConnection, rawFetch } from '../../support/raw-client.ts';
import { testCertificate, testKey } from '../../support/tls.ts';

async function listen(options: Partial<ListenOptions> = {}): Promise<Listener & AsyncDisposable> {
  const listener = await Listener.listen({
    name: 'listen',
    host: '127.0.0.1',
    port: 0,
    tls: { cert: testCertificate, key: testKey },
    handler: (_req, res) => void res.end('ok'),
    clock: systemClock,
    logger: silentLogger,
    ...options,
  });
  return Object.assign(listener, {
    [Symbol.asyncDispose]: async () => void (await listener.drain(AbortSignal.abort())),
  });
}

/** The first bytes of a ClientHello of 512 bytes. */
const beginningOfHello = Buffer.from([0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]);

function open(port: number): Socket {
  // It may be reset while it still sends; that is the point.
  return connect(port, '127.0.0.1').on('error', () => undefined);
}

describe('a connection to a TLS listener that never shakes hands', () => {
  it.each([
    ['says nothing', () => undefined],
    ['begins a hello', (socket: Socket) => socket.write(beginningOfHello)],
    ['sends what is no hello', (socket: Socket) => socket.write('\u0000\u0001\u0002\u0003')],
  ])('is closed in time, and nothing of it stays: %s', async (_, begin) => {
    await using listener = await listen({ headTimeoutMs: 300 });
    const sockets = Array.from({ length: 20 }, () => open(listener.address.port));
    for (const socket of sockets) begin(socket);
    await eventually(() => sockets.every(({ closed }) => closed));
    await eventually(() => listener.connections === 0);
    // Others are served as before.
    expect((await rawFetch(`https://127.0.0.1:${listener.address.port}/`)).status).toBe(200);
  });

  it('is closed in time however it drips', async () => {
    await using listener = await listen({ headTimeoutMs: 300 });
    const socket = open(listener.address.port);
    socket.write(beginningOfHello);
    let dripped = 0;
    const drip = setInterval(() => {
      dripped++;
      socket.write('a');
    }, 20);
    try {
      await eventually(() => socket.closed && listener.connections === 0);
      expect(dripped).toBeGreaterThan(1);
    } finally {
      clearInterval(drip);
    }
  });

  it.each([
    ['before the first byte', () => undefined],
    ['in the middle of its hello', (socket: Socket) => socket.write(beginningOfHello)],
  ])('leaves nothing behind when its client goes %s, politely or not', async (_, begin) => {
    // So long that only the client's going can be why it ends.
    await using listener = await listen({ headTimeoutMs: 600_000 });
    const sockets = Array.from({ length: 10 }, () => open(listener.address.port));
    for (const socket of sockets) begin(socket);
    await eventually(() => listener.connections === 10);
    for (const [index, socket] of sockets.entries()) {
      if (index % 2 === 0) socket.end();
      else socket.resetAndDestroy();
    }
    await eventually(() => listener.connections === 0);
  });

  it('does not hold up an orderly end while it is silent', async () => {
    const listener = await listen({ headTimeoutMs: 600_000 });
    const socket = open(listener.address.port);
    await eventually(() => listener.connections === 1);
    expect(await listener.drain(new AbortController().signal)).toBe(0);
    await eventually(() => socket.closed);
  });
});

describe('plain HTTP on a TLS listener', () => {
  it('is told so, and closed', async () => {
    await using listener = await listen({ headTimeoutMs: 600_000 });
    using connection = await RawConnection.open(`http://127.0.0.1:${listener.address.port}`);
    connection.send('/v2/');
    const head = await connection.head();
    const { body, cleanEnd } = await connection.body(head);
    expect([head.status, head.headers.connection, cleanEnd]).toEqual([400, 'close', true]);
    expect(body.toString()).toContain('client sent an HTTP request to an HTTPS server');
    await eventually(() => listener.connections === 0);
  });
});

describe('an answer that is written straight to a socket', () => {
  it('is not waited for without end where nobody takes it', async () => {
    const clock = new FakeClock();
    const deaf = new Duplex({ read: () => undefined, write: () => undefined });
    refuseRaw(deaf, 'badRequest', clock);
    expect(deaf.destroyed).toBe(false);
    await clock.advance(60_000);
    expect([deaf.destroyed, clock.pending]).toEqual([true, 0]);
  });

  it('is not begun where nothing can be written any more', () => {
    const ended = new Duplex({ read: () => undefined, write: (_chunk, _encoding, done) => done() });
    ended.end();
    refuseRaw(ended, 'badRequest', new FakeClock());
    expect(ended.destroyed).toBe(true);
  });
});
