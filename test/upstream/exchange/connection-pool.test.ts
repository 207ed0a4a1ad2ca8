import { connect } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ConnectionPool, type ConnectionPoolOptions, poolIn } from '../../../src/upstream/exchange/connection-pool.ts';
import { eventually, Gate } from '../../support/gate.ts';
import { expectNoLeaks, type ResourceSnapshot, takeSnapshot } from '../../support/leaks.ts';
import { serve, type TestServer } from '../support/servers.ts';

let before: ResourceSnapshot;
beforeEach(() => {
  before = takeSnapshot();
});
afterEach(() => expectNoLeaks(before));

function poolOf(server: TestServer, overrides: Partial<ConnectionPoolOptions> = {}): ConnectionPool {
  return new ConnectionPool({
    origin: server.url.origin,
    dial: () => Promise.resolve(connect(server.port, '127.0.0.1')),
    maxHeaderBytes: 16_384,
    keepAliveMs: 60_000,
    maxIdle: 2,
    ...overrides,
  });
}

async function exchange(pool: ConnectionPool): Promise<void> {
  const connection = pool.take();
  const { body } = await connection.client.request({ method: 'GET', path: '/' });
  await body.dump();
  await pool.release(connection);
}

describe('connection pool', () => {
  it('gives out the connection used last, and says that it was used', async () => {
    await using server = await serve((_, response) => response.end('ok'));
    const pool = poolOf(server);
    const first = pool.take();
    expect(first.isReused).toBe(false);
    await (await first.client.request({ method: 'GET', path: '/' })).body.dump();
    await pool.release(first);
    const again = pool.take();
    expect([again === first, again.isReused]).toEqual([true, true]);
    expect(pool.fresh()).not.toBe(first);
    await pool.close();
    expect(pool.size).toBe(0);
  });

  it('forgets idle connections that the server closes', async () => {
    await using server = await serve((request, response) => {
      response.on('finish', () => setImmediate(() => request.socket.end()));
      response.end('ok');
    });
    const pool = poolOf(server);
    await exchange(pool);
    await eventually(() => pool.size === 0);
    await pool.close();
  });

  it('keeps no more idle connections than it may', async () => {
    const gate = new Gate();
    await using server = await serve((_, response) => {
      void gate.pass().then(() => response.end('ok'));
    });
    const pool = poolOf(server);
    const all = Promise.all(Array.from({ length: 5 }, () => exchange(pool)));
    await gate.arrived(5);
    expect(pool.size).toBe(5);
    gate.open();
    await all;
    expect(pool.size).toBe(2);
    await pool.close();
  });

  it('takes nothing back once it is closed', async () => {
    await using server = await serve((_, response) => response.end('ok'));
    const pool = poolOf(server);
    const connection = pool.take();
    await pool.close();
    await pool.release(connection);
    expect(pool.size).toBe(0);
    expect(pool.take()).not.toBe(connection);
    await pool.close();
  });

  it('gives up dialling when the connection is no longer wanted', async () => {
    await using server = await serve((_, response) => response.end('ok'));
    const dialled = new Gate();
    let isAborted = false;
    const dial = (signal: AbortSignal): Promise<never> =>
      new Promise((_, reject) => {
        signal.addEventListener('abort', () => {
          isAborted = true;
          reject(new Error('given up'));
        });
        void dialled.pass();
      });
    const pool = poolOf(server, { dial });
    const connection = pool.take();
    const answer = connection.client.request({ method: 'GET', path: '/' }).catch((error: Error) => error.message);
    await dialled.arrived();
    await pool.drop(connection);
    expect(isAborted).toBe(true);
    expect(await answer).toBeTypeOf('string');
  });
});

describe('pools of an upstream that redirects to ever new origins', () => {
  it('are forgotten when they hold no connection, and never while they do', async () => {
    await using server = await serve((_, response) => response.end('ok'));
    const pools = new Map<string, ConnectionPool>();
    const used = poolIn(pools, 'used', () => poolOf(server));
    await exchange(used);
    for (let i = 0; i < 1000; i++) {
      const key = `https://${i}.example anonymous`;
      const made = poolIn(pools, key, () => poolOf(server));
      expect(poolIn(pools, key, () => poolOf(server))).toBe(made);
      expect(pools.size).toBeLessThanOrEqual(256);
    }
    expect(pools.get('used')).toBe(used);
    await used.close();
  });
});
