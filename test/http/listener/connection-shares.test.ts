/** Two addresses on one listener that has no more room. */
import type { ServerResponse } from 'node:http';
import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { afterEach, describe, expect, it } from 'vitest';
import { ConnectionShares, patienceMs } from '../../../src/http/listener/connection-shares.ts';
import { Listener, type ListenOptions } from '../../../src/http/listener/listener.ts';
import { ClientAddresses } from '../../../src/lib/sharing/client-address.ts';
import { silentLogger } from '../../../src/lib/log.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { eventually } from '../../support/gate.ts';
import { testCertificate, testKey } from '../../support/tls.ts';

const one = '127.0.0.1';
const other = '127.0.0.2';

/** A client that says what became of its connection. */
class Client {
  text = '';
  isClosed = false;
  readonly #socket: Socket;

  constructor(port: number, localAddress: string, isTls = false) {
    const address = { port, host: '127.0.0.1', localAddress };
    this.#socket = isTls ? connectTls({ ...address, rejectUnauthorized: false }) : connect(address);
    this.#socket.on('data', (chunk: Buffer) => void (this.text += chunk.toString()));
    this.#socket.on('error', () => undefined);
    this.#socket.on('close', () => void (this.isClosed = true));
  }

  /** Resolves when the answer has begun, or the connection is closed. */
  async ask(path: string, forwardedFor?: string): Promise<this> {
    this.text = '';
    const header = forwardedFor === undefined ? '' : `X-Forwarded-For: ${forwardedFor}\r\n`;
    this.#socket.write(`GET ${path} HTTP/1.1\r\nHost: here\r\n${header}\r\n`);
    await eventually(() => this.text !== '' || this.isClosed);
    return this;
  }

  close(): void {
    this.#socket.destroy();
  }
}

class Stage {
  readonly clock = new FakeClock();
  readonly clients: Client[] = [];
  /** Answers that have begun and do not end. */
  readonly open: ServerResponse[] = [];
  listener!: Listener;

  /** `/open` begins an answer that does not end; everything else is answered at once. */
  async listen(maxConnections: number, options: Partial<ListenOptions> & { readonly trusts?: boolean } = {}) {
    const { clock } = this;
    const trusted = options.trusts === true ? [{ address: '127.0.0.0', prefix: 8 }] : [];
    const clients = new ClientAddresses(trusted);
    this.listener = await Listener.listen({
      name: 'listen',
      host: '127.0.0.1',
      port: 0,
      handler: (req, res) => {
        if (req.url !== '/open') return void res.end('ok');
        this.open.push(res);
        res.write('begun');
        return undefined;
      },
      clock,
      logger: silentLogger,
      maxConnections,
      shares: new ConnectionShares({ maxConnections, clients, clock }),
      ...options,
    });
  }

  async ask(from: string, path: string, forwardedFor?: string): Promise<Client> {
    const client = new Client(this.listener.address.port, from, this.isTls);
    this.clients.push(client);
    await client.ask(path, forwardedFor);
    // So that none is idle for as long as another one.
    await this.clock.advance(1);
    return client;
  }

  isTls = false;
}

let stage = new Stage();
afterEach(async () => {
  for (const client of stage.clients) client.close();
  await stage.listener.drain(AbortSignal.abort());
  stage = new Stage();
});

const isClosed = (clients: readonly Client[]): boolean[] => clients.map((client) => client.isClosed);

describe('when all connections are taken', () => {
  it('one address may have taken them all, and its longest idle one makes room for its next', async () => {
    await stage.listen(3);
    const held = [await stage.ask(one, '/'), await stage.ask(one, '/'), await stage.ask(one, '/')];
    await held[0]?.ask('/');
    const next = await stage.ask(one, '/');
    await eventually(() => held[1]?.isClosed === true);
    expect([next.isClosed, ...isClosed(held)]).toEqual([false, false, true, false]);
  });

  it('nothing makes room for an address that holds all of them in use', async () => {
    await stage.listen(2);
    const held = [await stage.ask(one, '/open'), await stage.ask(one, '/open')];
    expect((await stage.ask(one, '/')).isClosed).toBe(true);
    await stage.clock.advance(10 * patienceMs);
    expect(isClosed(held)).toEqual([false, false]);
  });

  it('the greediest address loses an idle one at once, and nobody else does', async () => {
    await stage.listen(4);
    const few = await stage.ask(other, '/');
    const many = [await stage.ask(one, '/'), await stage.ask(one, '/open'), await stage.ask(one, '/')];
    const next = await stage.ask(other, '/');
    await eventually(() => many[0]?.isClosed === true);
    expect([few.isClosed, next.isClosed, ...isClosed(many)]).toEqual([false, false, true, false, false]);
  });

  it('one that is in use is reset a second later, the slowest of the greediest address', async () => {
    await stage.listen(3);
    const held = [await stage.ask(one, '/open'), await stage.ask(one, '/open'), await stage.ask(one, '/open')];
    const next = await stage.ask(other, '/open');
    expect([next.isClosed, ...isClosed(held)]).toEqual([false, false, false, false]);
    for (const index of [0, 2]) stage.open[index]?.write('more');
    await eventually(() => held[0]?.text.includes('more') === true && held[2]?.text.includes('more') === true);
    await stage.clock.advance(patienceMs);
    await eventually(() => held[1]?.isClosed === true);
    expect([next.isClosed, ...isClosed(held)]).toEqual([false, false, true, false]);
  });

  it('nobody is reset whose place was given back meanwhile', async () => {
    await stage.listen(2);
    const held = [await stage.ask(one, '/open'), await stage.ask(one, '/open')];
    const next = await stage.ask(other, '/open');
    held[1]?.close();
    await eventually(() => stage.listener.connections === 2);
    await stage.clock.advance(patienceMs);
    expect([next.isClosed, held[0]?.isClosed]).toEqual([false, false]);
  });

  it('behind a trusted proxy, connections belong to whom it asked for last', async () => {
    await stage.listen(3, { trusts: true });
    const greedy = [await stage.ask(one, '/', '192.0.2.1'), await stage.ask(one, '/', '192.0.2.1')];
    const modest = await stage.ask(one, '/', '192.0.2.2');
    const next = await stage.ask(one, '/', '192.0.2.2');
    await eventually(() => greedy[0]?.isClosed === true);
    expect([modest.isClosed, next.isClosed, greedy[1]?.isClosed]).toEqual([false, false, false]);
  });

  it('one that is in use over TLS is not taken for an idle one', async () => {
    stage.isTls = true;
    await stage.listen(2, { tls: { cert: testCertificate, key: testKey } });
    const held = [await stage.ask(one, '/open'), await stage.ask(one, '/')];
    await stage.ask(one, '/');
    await eventually(() => held[1]?.isClosed === true);
    expect(held[0]?.isClosed).toBe(false);
  });
});
