/** The far end of a line by itself: bodies under back-pressure, connections that go where they were sent, and their ends. */
import { createHash } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { UpstreamError } from '../../../src/upstream/contract/errors.ts';
import type { WorkerExchange } from '../../../src/upstream/worker/exchange.ts';
import type { WorkerOrder, WorkerReply, WorkerRoute } from '../../../src/upstream/contract/worker-protocol.ts';
import { randomBytesOf } from '../../support/byte-source.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { eventually, Gate, patienceMs, within } from '../../support/gate.ts';
import { expectNoLeaks, type ResourceSnapshot, takeSnapshot } from '../../support/leaks.ts';
import { tempDirectory } from '../../support/temp.ts';
import { TestAuthority } from '../support/certificates.ts';
import { LocalLine } from '../support/local-line.ts';
import { serve, serveRaw, serveTls, type TestServer } from '../support/servers.ts';

let before: ResourceSnapshot;
beforeEach(() => {
  before = takeSnapshot();
});
afterEach(() => expectNoLeaks(before));

function orderFor(server: TestServer, more: Partial<WorkerOrder> = {}): WorkerOrder {
  return {
    upstream: 'test',
    pool: 'one',
    origin: server.url.origin,
    path: '/',
    headers: {},
    connectTimeoutMs: 3000,
    tlsTimeoutMs: 5000,
    bodyLimits: { idleMs: 60_000, floorBytesPerSecond: 1, floorWindowMs: 60_000 },
    ...more,
  };
}

function routeTo(server: TestServer, more: Partial<WorkerRoute> = {}): WorkerRoute {
  return {
    host: '127.0.0.1',
    port: server.port,
    addresses: [{ address: '127.0.0.1', family: 4 }],
    tls: undefined,
    ...more,
  };
}

/** Opens an exchange and takes it over, as a download worker does. Rejects with the failure that the line tells. */
function open(worker: LocalLine, order: WorkerOrder, route: WorkerRoute): Promise<WorkerExchange> {
  const opened = new Promise<WorkerExchange>((resolve, reject) => {
    const call = worker.call(order, (reply: WorkerReply | { kind: 'lost' }) => {
      if (reply.kind === 'dial') call.tell({ kind: 'route', route });
      if (reply.kind === 'end') reject(Object.assign(new Error(reply.failure?.message), reply.failure));
      const exchange = reply.kind === 'head' ? worker.end.take(call.id) : undefined;
      if (exchange !== undefined) resolve(exchange);
    });
  });
  return within(patienceMs, opened, () => 'the exchange to open');
}

interface Taken {
  readonly bytes: number;
  readonly sha256: string;
  readonly error: UpstreamError | undefined;
  readonly pauses: number;
}

/** Takes the body, stopping it after every few pieces for a turn or two of the loop. */
function takeFitfully(exchange: WorkerExchange, everyPieces: number): Promise<Taken> {
  const hash = createHash('sha256');
  let [bytes, pieces, pauses] = [0, 0, 0];
  const taken = new Promise<Taken>((resolve) => {
    exchange.pipe({
      data(piece) {
        hash.update(piece);
        bytes += piece.byteLength;
        if (++pieces % everyPieces !== 0) return true;
        pauses++;
        if (pauses % 2 === 0) setImmediate(() => exchange.resume());
        else setTimeout(() => exchange.resume(), 2);
        return false;
      },
      end: (error) => resolve({ bytes, pauses, error, sha256: hash.digest('hex') }),
    });
  });
  return within(patienceMs, taken, () => `the body to end after ${bytes}`);
}

const body = randomBytesOf(24_000_000, 'line');
const sha256 = createHash('sha256').update(body).digest('hex');

const framings: Readonly<Record<string, (response: ServerResponse) => void>> = {
  'a declared length': (response) => void response.writeHead(200, { 'Content-Length': body.length }).end(body),
  chunks: (response) => {
    for (let at = 0; at < body.length; at += 70_001) response.write(body.subarray(at, at + 70_001));
    response.end();
  },
  'the end of the connection': (response) => {
    response.shouldKeepAlive = false;
    response.useChunkedEncodingByDefault = false;
    response.removeHeader('Transfer-Encoding');
    response.writeHead(200, { Connection: 'close' }).end(body);
  },
};

describe('a body on a line', () => {
  const cases = Object.keys(framings).flatMap((framing) =>
    ['http', 'https'].flatMap((scheme) => [1, 7].map((every) => ({ framing, scheme, every }))),
  );
  it.each(cases)('with $framing over $scheme arrives whole when every $every pieces must wait', async (testCase) => {
    const { framing, scheme, every } = testCase;
    await using temp = await tempDirectory('line');
    const authority = await TestAuthority.create(temp);
    const signed = await authority.sign('server', ['IP:127.0.0.1']);
    const answer = framings[framing] ?? (() => undefined);
    await using server =
      scheme === 'http'
        ? await serve((_, response) => answer(response))
        : await serveTls({ cert: signed.cert, key: signed.key }, (_, response) => answer(response));
    const worker = new LocalLine();
    const tls = { stamp: '1', ca: undefined, cert: undefined, key: undefined, isVerified: false };
    const route = routeTo(server, { tls: scheme === 'http' ? undefined : tls });
    const taken = await takeFitfully(await open(worker, orderFor(server), route), every);
    expect(taken).toMatchObject({ bytes: body.length, sha256, error: undefined });
    expect(taken.pauses).toBeGreaterThan(10);
    await worker.close();
  });

  it('that is complete frees its connection for the next one, and one that is given up does not', async () => {
    await using server = await serve((_, response) => response.end(Buffer.alloc(300_000)));
    const worker = new LocalLine();
    for (let i = 0; i < 3; i++) {
      const taken = await takeFitfully(await open(worker, orderFor(server), routeTo(server)), 3);
      expect(taken).toMatchObject({ bytes: 300_000, error: undefined });
    }
    expect(server.connections).toBe(1);
    const given = await open(worker, orderFor(server), routeTo(server));
    given.abort();
    expect(await takeFitfully(given, 3)).toMatchObject({ bytes: 0, error: { kind: 'aborted' } });
    await takeFitfully(await open(worker, orderFor(server), routeTo(server)), 3);
    expect(server.connections).toBe(2);
    await worker.close();
  });

  it('counts what came, and is a time-out when nothing comes while somebody waits', async () => {
    await using server = await serve((_, response) => {
      response.writeHead(200, { 'Content-Length': 1000 }).write(Buffer.alloc(10));
    });
    const worker = new LocalLine();
    const limits = { idleMs: 100, floorBytesPerSecond: 1, floorWindowMs: 60_000 };
    const exchange = await open(worker, orderFor(server, { bodyLimits: limits }), routeTo(server));
    const taken = await takeFitfully(exchange, 100);
    expect(taken).toMatchObject({ bytes: 10, error: { kind: 'timeout' } });
    expect([exchange.takeReceived(), exchange.takeReceived()]).toEqual([10, 0]);
    await worker.close();
  });

  it('does not run out of time while it is held back', async () => {
    await using server = await serve((_, response) => response.end(body));
    const clock = new FakeClock();
    const worker = new LocalLine(clock);
    const exchange = await open(worker, orderFor(server), routeTo(server));
    const came = new Gate();
    const errors: unknown[] = [];
    exchange.pipe({ data: () => (void came.pass(), false), end: (error) => errors.push(error) });
    await came.arrived();
    await clock.advance(3_600_000);
    expect(errors).toEqual([]);
    exchange.abort();
    await worker.close();
  });
});

describe('a connection of a line', () => {
  it('goes to the vetted address and not to where its name leads', async () => {
    await using server = await serve((_, response) => response.end('ok'));
    const worker = new LocalLine();
    const exchange = await open(worker, orderFor(server), routeTo(server, { host: 'elsewhere.invalid' }));
    expect(await takeFitfully(exchange, 5)).toMatchObject({ bytes: 2, error: undefined });
    await worker.close();
  });

  it('carries nothing when it ended up elsewhere', async () => {
    await using server = await serveRaw((socket) => void socket.end());
    const worker = new LocalLine();
    // A literal host is dialled without a look-up, so only the check of the remote address is left.
    const addresses = [{ address: '192.0.2.1', family: 4 }];
    const opening = open(worker, orderFor(server), routeTo(server, { addresses }));
    await expect(opening).rejects.toMatchObject({ kind: 'redirectRefused' });
    await eventually(() => server.connections === 1);
    expect(server.seen).toEqual([]);
    await worker.close();
  });
});
