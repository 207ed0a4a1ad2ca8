import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { DelayProxy } from '../../bench/support/proxy.ts';

/** Answers each connection with whatever it sends, and ends when it does. */
async function echo(): Promise<{ readonly server: Server; readonly port: number }> {
  const server = createServer(
    { allowHalfOpen: true },
    (socket) => void socket.pipe(socket).on('error', () => undefined),
  );
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no TCP address');
  return { server, port: address.port };
}

const open: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of open.splice(0)) await close();
});

async function throughProxy(roundTripMs: number): Promise<{ readonly proxy: DelayProxy; readonly client: Socket }> {
  const { server, port } = await echo();
  const proxy = await DelayProxy.start({ targetPort: port, roundTripMs });
  const client = connect({ port: proxy.port, host: '127.0.0.1', allowHalfOpen: true });
  open.push(
    async () => void client.destroy(),
    () => proxy.close(),
    () => new Promise((resolve) => server.close(() => resolve())),
  );
  await once(client, 'connect');
  return { proxy, client };
}

async function roundTrip(client: Socket, text: string): Promise<number> {
  const began = performance.now();
  client.write(text);
  const [answer] = (await once(client, 'data')) as [Buffer];
  expect(answer.toString()).toBe(text);
  return performance.now() - began;
}

describe('the delaying proxy', () => {
  it('takes a round trip for a question, and one more for the handshake', async () => {
    const { client } = await throughProxy(60);
    // Timers may fire a millisecond early; how late they are is not the proxy's doing.
    expect(await roundTrip(client, 'first')).toBeGreaterThanOrEqual(117);
    expect(await roundTrip(client, 'second')).toBeGreaterThanOrEqual(57);
  });

  it('passes bytes unchanged, more than it keeps at once, and the end of the stream', async () => {
    const { client } = await throughProxy(10);
    const sent = createHash('sha256');
    const received = createHash('sha256');
    client.on('data', (piece: Buffer) => received.update(piece));
    const ended = once(client, 'end');
    for (let piece = 0; piece < 48; piece++) {
      const bytes = randomBytes(1024 * 1024);
      sent.update(bytes);
      if (!client.write(bytes)) await once(client, 'drain');
    }
    client.end();
    await ended;
    expect(received.digest('hex')).toBe(sent.digest('hex'));
  });

  it('breaks every connection after so many bytes, once', async () => {
    const { proxy, client } = await throughProxy(0);
    await roundTrip(client, 'whole');
    proxy.cutAfter(3);
    // `once` of node:events would reject with the reset, which is what is wanted.
    const reset = new Promise<Error>((resolve) => client.once('error', resolve));
    client.write('broken');
    expect(await reset).toMatchObject({ code: 'ECONNRESET' });
    const again = connect(proxy.port, '127.0.0.1');
    await roundTrip(again, 'whole again');
    again.destroy();
  });
});
