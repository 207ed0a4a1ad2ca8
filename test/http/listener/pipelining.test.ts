import { once } from 'node:events';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { type AddressInfo, createServer } from 'node:net';
import { describe, expect, it } from 'vitest';
import { breakConnection, inTurn, maxUnanswered } from '../../../src/http/listener/pipelining.ts';
import { eventually, within } from '../../support/gate.ts';
import { RawConnection } from '../../support/raw-client.ts';
import { FakeBlob, patternSource } from '../support/fake-cache.ts';
import { startFront } from '../support/front.ts';

describe('pipelining', () => {
  it('20,000 requests on one connection are answered in order, and one at a time', { timeout: 60_000 }, async () => {
    await using front = await startFront({ isAccessLogged: false });
    let running = 0;
    let most = 0;
    front.cache.before = async () => {
      running++;
      most = Math.max(most, running);
      await new Promise((resolve) => setImmediate(resolve));
      running--;
    };
    using connection = await RawConnection.open(front.origin);
    const request = (i: number): string => `GET /v2/org/app/tags/list?last=t${i} HTTP/1.1\r\nHost: x\r\n\r\n`;
    connection.write(Array.from({ length: 20_000 }, (_, i) => request(i)).join(''));
    let answered = 0;
    for (;;) {
      const head = await connection.head();
      const body = await connection.body(head);
      expect([head.status, body.cleanEnd]).toEqual([200, true]);
      answered++;
      if (head.headers.connection === 'close') break;
    }
    // A connection is good for 10,000 requests.
    expect(answered).toBe(10_000);
    expect(most).toBe(1);
    expect(front.cache.tagsQueries.map(({ last }) => last)).toEqual(Array.from({ length: 10_000 }, (_, i) => `t${i}`));
    expect(front.ended.length).toBe(10_000);
  });

  it('stops reading at a few unanswered requests, and goes on below', { timeout: 60_000 }, async () => {
    const waiting: (() => void)[] = [];
    let parsed = 0;
    let started = 0;
    const turn = inTurn((_req, res) => {
      started++;
      waiting.push(() => res.end('x'));
    });
    const server = createHttpServer((req, res) => {
      parsed++;
      turn(req, res);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    const port = typeof address === 'object' ? address?.port : undefined;
    using connection = await RawConnection.open(`http://127.0.0.1:${port}`);
    try {
      const one = `GET / HTTP/1.1\r\nHost: x\r\nX-Padding: ${'p'.repeat(4000)}\r\n\r\n`;
      const total = 2_000;
      connection.write(one.repeat(total));
      await eventually(() => parsed >= maxUnanswered);
      let last = -1;
      await eventually(async () => {
        const now = parsed;
        await new Promise((resolve) => setTimeout(resolve, 50));
        const isStill = now === parsed && now === last;
        last = now;
        return isStill;
      });
      // What one read of the socket held is parsed in one go.
      expect(parsed).toBeLessThan(maxUnanswered + 40);
      expect(started).toBe(1);
      let most = 0;
      for (let i = 0; i < total; i++) {
        await eventually(() => waiting.length > 0);
        expect(waiting.length).toBe(1);
        waiting.shift()?.();
        most = Math.max(most, parsed - i);
        const head = await connection.head();
        await connection.body(head);
      }
      expect(started).toBe(total);
      expect(most).toBeLessThan(maxUnanswered + 40);
    } finally {
      server.closeAllConnections();
      server.close();
    }
  });

  it('what waits behind a body has opened and counted nothing, and goes with the connection', async () => {
    const blob = FakeBlob.pending(patternSource(1_000_000));
    await using front = await startFront();
    front.cache.addBlob('docker.io/org/app', blob);
    blob.advance(1000);
    const connection = await RawConnection.open(front.origin);
    connection.send(`/v2/org/app/blobs/${blob.digest}`);
    for (let i = 0; i < 10; i++) connection.send(`/v2/org/app/blobs/${blob.digest}`);
    await connection.head();
    await eventually(() => blob.waiting > 0);
    expect([front.cache.blobQueries.length, blob.openViews, front.stalls.size]).toEqual([1, 1, 1]);
    connection.close();
    await eventually(() => front.ended.length === 1 && blob.openViews === 0);
    await new Promise((resolve) => setImmediate(resolve));
    expect([front.cache.blobQueries.length, front.ended.length]).toEqual([1, 1]);
  });
});

describe('breakConnection', () => {
  it('closes a socket that is ending just now, and leaves no descriptor behind', async () => {
    const server = createServer((socket) => {
      socket.end('bye');
      breakConnection(socket);
    });
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const { port } = server.address() as AddressInfo;
    using connection = await RawConnection.open(`http://127.0.0.1:${port}`);
    await connection.ended();
    // Resolves when the last socket is closed.
    await within(5_000, new Promise((resolve) => server.close(resolve)), () => 'the end of the server');
    await eventually(() => readdirSync('/proc/self/fd').every((fd) => !isSocketOf(fd, port)));
  });
});

/** Whether one of this process's descriptors is the server's side of a connection to `port`. */
function isSocketOf(fd: string, port: number): boolean {
  let target: string;
  try {
    target = readlinkSync(`/proc/self/fd/${fd}`);
  } catch {
    return false;
  }
  const inode = /^socket:\[(\d+)\]$/.exec(target)?.[1];
  const local = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  return readFileSync('/proc/self/net/tcp', 'utf8')
    .split('\n')
    .some((line) => {
      const columns = line.trim().split(/\s+/);
      return inode !== undefined && columns[9] === inode && columns[1]?.endsWith(local) === true;
    });
}
