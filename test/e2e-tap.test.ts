/** What the end-to-end suite listens with, and cuts lines with. */
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { Tap } from './e2e/tap.ts';

const closers: (() => void | Promise<void>)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close();
});

/** A server that answers every piece it gets with so many bytes. */
async function serverOf(answerBytes: number): Promise<number> {
  const server = createServer((socket) => {
    socket.on('error', () => socket.destroy());
    socket.on('data', () => socket.write(Buffer.alloc(answerBytes)));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  closers.push(() => void server.close());
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no TCP address');
  return address.port;
}

/** Sends one request through the tap; answers how many bytes came back until `enough` of them or the end. */
async function ask(tap: Tap, request: string, enough: number): Promise<number> {
  const socket = connect(Number(tap.host.split(':')[1]), '127.0.0.1');
  closers.push(() => void socket.destroy());
  socket.write(request);
  let received = 0;
  for await (const piece of socket as AsyncIterable<Buffer>) {
    received += piece.length;
    if (received >= enough) break;
  }
  return received;
}

describe('the tap', () => {
  it('remembers what clients sent, and how much came back', async () => {
    const tap = await Tap.start(await serverOf(1000));
    closers.push(() => tap.close());
    expect(await ask(tap, 'GET /v2/ HTTP/1.1\r\nAuthorization: Basic secret\r\n\r\n', 1000)).toBe(1000);
    expect(tap.sent).toMatch(/^authorization: basic secret\r$/im);
    expect(tap.answeredBytes).toBe(1000);
    expect(tap.cuts).toBe(0);
  });

  it('ends one connection in the middle of an answer, and lets the next one through', async () => {
    const tap = await Tap.start(await serverOf(4_000_000));
    closers.push(() => tap.close());
    tap.cutAfter(1_000_000);
    const received = await ask(tap, 'one', 4_000_000);
    expect(received).toBeGreaterThanOrEqual(1_000_000);
    expect(received).toBeLessThan(4_000_000);
    expect(tap.cuts).toBe(1);
    expect(await ask(tap, 'two', 4_000_000)).toBe(4_000_000);
    expect(tap.sent).toBe('onetwo');
  });
});
