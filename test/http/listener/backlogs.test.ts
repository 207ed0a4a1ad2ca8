import { EventEmitter } from 'node:events';
import { connect, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { Backlogs } from '../../../src/http/listener/backlogs.ts';
import { digestOf } from '../../../src/oci/digest.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { eventually, Gate } from '../../support/gate.ts';
import { RawConnection } from '../../support/raw-client.ts';
import { type Front, type FrontOptions, startFront } from '../support/front.ts';

const path = '/v2/library/alpine/manifests/3.20';
const bytes = Buffer.alloc(60_000, 'a');
const mediaType = 'application/vnd.oci.image.manifest.v1+json';
/** More than the sockets of both ends take by themselves. */
const manyRequests = 400;
const headRequest = `GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`;

const sockets: Socket[] = [];
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy();
});

async function start(options: FrontOptions): Promise<Front> {
  const front = await startFront(options);
  front.cache.addManifest('docker.io/library/alpine', '3.20', { bytes, mediaType });
  return front;
}

/** The same answer from the hot path. */
function lease(front: Front): void {
  front.cache.peek = async ({ method }) => ({
    digest: digestOf(bytes),
    mediaType,
    sizeBytes: bytes.length,
    bytes: method === 'get' ? bytes : undefined,
    outcome: { kind: 'hit' },
    stamp: front.changes.stamp(),
    holdsMs: 30_000,
    freshMs: undefined,
  });
}

/** Sends request after request and reads nothing. */
async function ask(front: Front, packets: number, requestsInPacket = 1): Promise<void> {
  const socket = connect(front.port, '127.0.0.1');
  sockets.push(socket);
  socket.on('error', () => undefined);
  for (let i = 0; i < packets && !socket.destroyed; i++) {
    socket.write(headRequest.repeat(requestsInPacket));
    await new Promise((resolve) => setImmediate(resolve));
  }
}

const lanes = [
  ['the hot path', true, 1],
  ['node:http', false, 10],
] as const;

describe.each(lanes)('answers of %s that nobody takes', (_lane, isLeased, requestsInPacket) => {
  it('hold the budget at most, however many ask for them, and who reads gets them all', async () => {
    const backlogs = new Backlogs(new FakeClock(), 512 * 1024);
    let most = 0;
    await using front = await start({ backlogs });
    if (isLeased) lease(front);
    const idlers = 24;
    await Promise.all(
      Array.from({ length: idlers }, () => ask(front, manyRequests / requestsInPacket, requestsInPacket)),
    );
    await eventually(() => {
      most = Math.max(most, backlogs.bytes);
      return front.listener.connections < idlers;
    });
    expect(most).toBeLessThanOrEqual(512 * 1024);
    using reader = await RawConnection.open(front.origin);
    for (let i = 0; i < 20; i++) {
      reader.send(path);
      const head = await reader.head();
      expect((await reader.body(head)).bytes).toBe(bytes.length);
    }
  });

  it('go with their connection when nothing is taken for a while', async () => {
    await using front = await start({ memoryStallMs: 50 });
    if (isLeased) lease(front);
    await ask(front, manyRequests / requestsInPacket, requestsInPacket);
    await eventually(() => front.ended.length > 0 && front.listener.connections === 0);
  });
});

it('a client that was behind may wait for its next answer, and be idle, for longer', async () => {
  await using front = await start({ memoryStallMs: 1_500 });
  using late = await RawConnection.open(front.origin);
  late.socket.pause();
  late.write(headRequest.repeat(200));
  await eventually(() => front.ended.length > 20);
  late.socket.resume();
  for (let i = 0; i < 200; i++) expect((await late.body(await late.head())).bytes).toBe(bytes.length);
  const gate = new Gate();
  const manifest = front.cache.manifest.bind(front.cache);
  front.cache.manifest = async (...query) => {
    if (gate.arrivals === 0) await gate.pass();
    return manifest(...query);
  };
  late.send(path);
  await gate.arrived();
  // One that came later and takes nothing shows that the time has passed.
  await ask(front, 40, 10);
  await eventually(() => front.listener.connections === 1);
  gate.open();
  expect((await late.body(await late.head())).bytes).toBe(bytes.length);
});

describe('the account of what is behind', () => {
  function socketOf(writableLength: number): Socket & { writableLength: number; bytesWritten: number } {
    const fields = { writableLength, bytesWritten: writableLength, destroyed: false, writableEnded: false };
    const socket = Object.assign(new EventEmitter(), fields);
    return Object.assign(socket, {
      resetAndDestroy: () => {
        socket.destroyed = true;
      },
    }) as unknown as Socket & { writableLength: number; bytesWritten: number };
  }

  it('breaks those that have taken nothing for longest, and no more than it takes', async () => {
    const clock = new FakeClock();
    const backlogs = new Backlogs(clock, 400);
    const all = Array.from({ length: 4 }, () => socketOf(100));
    for (const socket of all) {
      backlogs.add(socket);
      await clock.advance(1_000);
    }
    expect(backlogs.isTight).toBe(true);
    // The first has taken something since.
    const [first] = all;
    if (first !== undefined) first.bytesWritten += 50;
    const last = socketOf(50);
    backlogs.add(last);
    expect([...all, last].map(({ destroyed }) => destroyed)).toEqual([false, true, true, false, false]);
    expect(backlogs.bytes).toBe(250);
  });

  it('forgets what was taken, and looks no more', async () => {
    const clock = new FakeClock();
    const backlogs = new Backlogs(clock, 400);
    const socket = socketOf(100);
    backlogs.add(socket);
    socket.writableLength = 0;
    await clock.advance(5_000);
    expect([backlogs.bytes, backlogs.isTight, clock.pending]).toEqual([0, false, 0]);
    const closed = socketOf(100);
    backlogs.add(closed);
    expect([backlogs.bytes, clock.pending]).toEqual([100, 1]);
    closed.emit('close');
    expect([backlogs.bytes, clock.pending, closed.listenerCount('close')]).toEqual([0, 0, 0]);
  });
});
