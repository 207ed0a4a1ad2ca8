/** Threads that serve clients, as real threads on a real port, over a cache that the test controls. */
import { readdirSync } from 'node:fs';
import type { Worker } from 'node:worker_threads';
import { describe, expect, it } from 'vitest';
import { ListenError } from '../../src/http/listener/listen-error.ts';
import { type Clock, systemClock } from '../../src/lib/clock.ts';
import { ChangeCounters } from '../../src/lib/change-counters.ts';
import { silentLogger } from '../../src/lib/log.ts';
import type { RequestSeries } from '../../src/metrics/request-tally.ts';
import { ServeThread } from '../../src/serving/thread.ts';
import { ServeThreads } from '../../src/serving/threads.ts';
import { bytesOf, FakeCache, patternSource } from '../http/support/fake-cache.ts';
import { FileBlob } from '../http/support/file-blob.ts';
import { eventually } from '../support/gate.ts';
import { RawConnection, rawFetch } from '../support/raw-client.ts';

const upstreams = [{ key: 'docker.io', hosts: [], isDefault: true }];

interface Serving extends AsyncDisposable {
  readonly threads: ServeThreads;
  readonly cache: FakeCache;
  readonly origin: string;
  readonly series: RequestSeries[];
  readonly lines: string[];
}

async function serving(count: number, port = 0): Promise<Serving> {
  const cache = new FakeCache();
  const series: RequestSeries[] = [];
  const lines: string[] = [];
  const threads = await ServeThreads.start({
    threads: count,
    host: '127.0.0.1',
    port,
    tls: undefined,
    maxConnections: undefined,
    keepAliveMs: 620_000,
    sendfileConcurrency: 2,
    upstreams,
    trustedProxies: [],
    isAccessLogged: true,
    cache,
    changes: new ChangeCounters(),
    clock: systemClock,
    logger: silentLogger,
    onLines: (text) => void lines.push(...text.trimEnd().split('\n')),
    onSeries: (more) => void series.push(...more),
  });
  return {
    threads,
    cache,
    origin: `http://127.0.0.1:${threads.address.port}`,
    series,
    lines,
    [Symbol.asyncDispose]: async () => void (await threads.drain(AbortSignal.abort())),
  };
}

async function freePort(): Promise<number> {
  await using weir = await serving(1);
  return weir.threads.address.port;
}

function threadOn(port: number, cache: FakeCache, clock = systemClock): ServeThread {
  return new ServeThread({
    setup: {
      host: '127.0.0.1',
      port,
      tls: undefined,
      maxConnections: undefined,
      keepAliveMs: 620_000,
      upstreams,
      trustedProxies: [],
      isAccessLogged: false,
      sendfileConcurrency: 4,
      changes: new ChangeCounters().buffer,
    },
    cache,
    clock,
    logger: silentLogger,
    onLines: () => undefined,
    onExit: () => undefined,
  });
}

function fds(): number {
  return readdirSync('/proc/self/fd').length;
}

describe('threads that serve clients', () => {
  it('share one port, and what they count and log adds up', async () => {
    await using weir = await serving(3);
    weir.cache.addManifest('docker.io/library/a', '1', { bytes: Buffer.from('{}'), mediaType: 'a/b' });
    const answers = await Promise.all(
      Array.from({ length: 30 }, () => rawFetch(`${weir.origin}/v2/library/a/manifests/1`)),
    );
    expect(answers.map(({ status, body }) => `${status} ${body.toString()}`)).toEqual(answers.map(() => '200 {}'));
    // Ids are no thread's alone.
    expect(new Set(answers.map(({ headers }) => headers['x-request-id'])).size).toBe(30);
    await eventually(async () => {
      await weir.threads.gather();
      return weir.lines.length === 30;
    });
    expect(weir.series.reduce((sum, { count }) => sum + count, 0)).toBe(30);
    expect(weir.series.length).toBeGreaterThan(1);
  });

  it('refuse a port that somebody has, another group of threads included', async () => {
    await using weir = await serving(2);
    const again = await serving(2, weir.threads.address.port).catch((error: unknown) => error);
    expect(again).toBeInstanceOf(ListenError);
    expect(again).toMatchObject({ kind: 'inUse' });
  });

  it('finish their answers when they drain, and break them off at the deadline', async () => {
    for (const isInTime of [true, false]) {
      await using file = await FileBlob.create(patternSource(3_000_000), true);
      const { blob } = file;
      const weir = await serving(2);
      weir.cache.blobs.set(`docker.io/library/a@${blob.digest}`, blob);
      using client = await RawConnection.open(weir.origin);
      client.send(`/v2/library/a/blobs/${blob.digest}`);
      blob.advance(1_000_000);
      const head = await client.head();
      const body = client.body(head, 'GET', { keep: true });
      const deadline = new AbortController();
      const drained = weir.threads.drain(deadline.signal);
      if (isInTime) blob.prove();
      else deadline.abort();
      const { cleanEnd, body: bytes } = await body;
      expect([cleanEnd, cleanEnd && bytes.equals(bytesOf(blob.source))]).toEqual([isInTime, isInTime]);
      expect(await drained).toBe(isInTime ? 0 : 1);
      expect([blob.openViews, blob.openReaders]).toEqual([0, 0]);
    }
  });
});

describe('a thread that dies', () => {
  it('takes its stalled clients with it at once, gives back all that it held, and leaves no descriptor', async () => {
    await using file = await FileBlob.create(patternSource(40_000_000));
    const { blob } = file;
    const cache = new FakeCache();
    cache.blobs.set(`docker.io/library/a@${blob.digest}`, blob);
    const before = fds();
    const port = await freePort();
    const thread = threadOn(port, cache);
    await thread.listen();
    const clients = await Promise.all(
      Array.from({ length: 100 }, () => RawConnection.open(`http://127.0.0.1:${port}`)),
    );
    for (const client of clients) {
      client.send(`/v2/library/a/blobs/${blob.digest}`);
      await client.head();
      client.socket.pause();
    }
    await eventually(() => thread.held === 200);
    await thread.terminate();
    const ends = await Promise.all(clients.map((client) => client.ended()));
    expect(ends.filter((end) => end === 'closed')).toEqual([]);
    expect([thread.held, blob.openViews, blob.openReaders]).toEqual([0, 0, 0]);
    for (const client of clients) client.close();
    await eventually(
      () => fds() <= before,
      () => `${fds()} descriptors, ${before} before`,
    );
  });

  it('is asked to end, and ended from outside only when it does not', async () => {
    const port = await freePort();
    const now: Clock = { ...systemClock, setTimer: (_ms, fire) => systemClock.setTimer(0, fire) };
    for (const clock of [systemClock, now]) {
      const terminations: string[] = [];
      process.once('worker', (worker: Worker) => {
        const terminate = worker.terminate.bind(worker);
        worker.terminate = () => {
          terminations.push('from outside');
          return terminate();
        };
      });
      const thread = threadOn(port, new FakeCache(), clock);
      // Before it has started it cannot answer yet.
      if (clock === systemClock) await thread.listen();
      await thread.terminate();
      expect(terminations).toEqual(clock === systemClock ? [] : ['from outside']);
    }
  });

  it('is replaced, and the clients of the others notice nothing', async () => {
    const workers: Worker[] = [];
    const onWorker = (worker: Worker): void => void workers.push(worker);
    process.on('worker', onWorker);
    await using weir = await serving(2);
    process.off('worker', onWorker);
    weir.cache.addManifest('docker.io/library/a', '1', { bytes: Buffer.from('{}'), mediaType: 'a/b' });
    const clients = await Promise.all(Array.from({ length: 24 }, () => RawConnection.open(weir.origin)));
    const ask = async (client: RawConnection): Promise<boolean> => {
      try {
        client.send('/v2/library/a/manifests/1');
        return (await client.body(await client.head())).cleanEnd;
      } catch {
        return false;
      }
    };
    expect(await Promise.all(clients.map(ask))).toEqual(clients.map(() => true));
    expect(workers).toHaveLength(2);
    await workers[0]?.terminate();
    const alive = (await Promise.all(clients.map(ask))).filter(Boolean).length;
    expect(alive).toBeGreaterThan(0);
    expect(alive).toBeLessThan(24);
    await eventually(() => weir.threads.size === 2);
    using late = await RawConnection.open(weir.origin);
    expect(await ask(late)).toBe(true);
    for (const client of clients) client.close();
  });
});
