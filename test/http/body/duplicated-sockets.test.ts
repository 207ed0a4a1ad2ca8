/** Whose duplicates are whose, and that those of a thread that died are closed. */
import { once } from 'node:events';
import { closeSync, fstatSync, openSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { Worker } from 'node:worker_threads';
import { describe, expect, it } from 'vitest';
import { closeLeftovers, FdTable, fdTableMemory } from '../../../src/http/body/duplicated-sockets.ts';
import { expectNoLeaks, takeSnapshot } from '../../support/leaks.ts';
import { loadSendfile } from '../support/file-blob.ts';

describe('the table of descriptors', () => {
  it('gives places back, and knows when it is full', () => {
    const table = new FdTable(fdTableMemory(3));
    const places = [0, 11, 12].map((fd) => table.enter(fd));
    expect([new Set(places).size, table.size, table.isFull]).toEqual([3, 3, true]);
    table.leave(places[1] ?? 0);
    expect([table.size, table.isFull, table.enter(13)]).toEqual([2, false, places[1]]);
    expect(table.isFull).toBe(true);
  });

  it('closes nothing that was given back', async () => {
    const { libc } = await loadSendfile();
    const memory = fdTableMemory(8);
    const table = new FdTable(memory);
    const fd = openSync('/dev/null', 'r');
    table.leave(table.enter(fd));
    expect(closeLeftovers(memory, libc)).toBe(0);
    expect(fstatSync(fd).isCharacterDevice()).toBe(true);
    closeSync(fd);
  });

  it('lets the owner end the connections of a thread that died, and only once', async () => {
    const { libc } = await loadSendfile();
    const before = takeSnapshot();
    const memory = fdTableMemory(8);
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    const accepted = once(server, 'connection') as Promise<[Socket]>;
    const client = connect(port, '127.0.0.1');
    client.on('error', () => undefined);
    const ended = once(client, 'end');
    const [socket] = await accepted;
    const handle = (socket as Socket & { readonly _handle: { readonly fd: number } })._handle;
    const worker = new Worker(new URL('../support/duplicating-worker.ts', import.meta.url), {
      workerData: { memory, fd: handle.fd },
    });
    await once(worker, 'message');
    await worker.terminate();
    // Its owner's descriptor goes, and still nobody tells the client.
    socket.destroy();
    await once(socket, 'close');
    expect(client.readableEnded).toBe(false);
    expect([closeLeftovers(memory, libc), closeLeftovers(memory, libc)]).toEqual([1, 0]);
    client.resume();
    await ended;
    client.destroy();
    server.close();
    await once(server, 'close');
    await expectNoLeaks(before);
  });
});
