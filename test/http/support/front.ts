/** The front on a real listener over a fake cache, with everything that it reports kept. */
import { MessageChannel } from 'node:worker_threads';
import type { Cache } from '../../../src/cache/contract/cache.ts';
import { CacheHost } from '../../../src/cache/threads/host.ts';
import { RemoteCache } from '../../../src/cache/threads/client.ts';
import { BufferPool } from '../../../src/http/body/buffer-pool.ts';
import type { HttpEvents } from '../../../src/http/v2/context.ts';
import { HotPath } from '../../../src/http/hot/hot-path.ts';
import { createFront } from '../../../src/http/v2/front.ts';
import type { Sendfile } from '../../../src/http/body/sendfile.ts';
import { Listener } from '../../../src/http/listener/listener.ts';
import { Backlogs } from '../../../src/http/listener/backlogs.ts';
import { StallWatch } from '../../../src/http/body/stalled-clients.ts';
import { ClientAddresses } from '../../../src/lib/sharing/client-address.ts';
import { type Clock, systemClock } from '../../../src/lib/clock.ts';
import { ChangeCounters } from '../../../src/lib/change-counters.ts';
import type { LogFields, Logger } from '../../../src/lib/log.ts';
import { createRouter } from '../../../src/routing/router.ts';
import { FakeCache } from './fake-cache.ts';

export type EndedRequest = Parameters<HttpEvents['requestEnded']>[0];

export interface LogLine {
  readonly level: 'debug' | 'info' | 'warn' | 'error';
  readonly fields: LogFields;
  readonly message: string;
}

export class LinesLogger implements Logger {
  readonly lines: LogLine[] = [];

  debug(fields: LogFields, message: string): void {
    this.lines.push({ level: 'debug', fields, message });
  }
  info(fields: LogFields, message: string): void {
    this.lines.push({ level: 'info', fields, message });
  }
  warn(fields: LogFields, message: string): void {
    this.lines.push({ level: 'warn', fields, message });
  }
  error(fields: LogFields, message: string): void {
    this.lines.push({ level: 'error', fields, message });
  }
  child(): Logger {
    return this;
  }

  /** An access line: its own fields. */
  access(line: string): void {
    const {
      level: _level,
      time: _time,
      service: _service,
      room: _room,
      msg,
      ...fields
    } = JSON.parse(line) as LogFields;
    this.lines.push({ level: 'info', fields, message: String(msg) });
  }

  get requests(): readonly LogFields[] {
    return this.lines.filter(({ message }) => message === 'request').map(({ fields }) => fields);
  }

  get errors(): readonly LogLine[] {
    return this.lines.filter(({ level }) => level === 'error');
  }
}

export interface FrontOptions {
  readonly clients?: ClientAddresses;
  readonly cache?: FakeCache;
  readonly clock?: Clock;
  readonly isAccessLogged?: boolean;
  readonly headDeadlineMs?: number;
  readonly stallMs?: number;
  /** Of answers from memory, in milliseconds of the machine's own time. */
  readonly memoryStallMs?: number;
  readonly backlogs?: Backlogs;
  /** Default: none. */
  readonly sendfile?: Sendfile;
  readonly tls?: { readonly cert: string; readonly key: string };
}

export interface Front extends AsyncDisposable {
  readonly cache: FakeCache;
  /** The owner's side of the port, where there is one. */
  readonly host: CacheHost | undefined;
  readonly changes: ChangeCounters;
  readonly listener: Listener;
  readonly port: number;
  readonly origin: string;
  readonly ended: readonly EndedRequest[];
  readonly log: LinesLogger;
  readonly pool: BufferPool;
  readonly stalls: StallWatch;
}

/** Whether fronts ask their cache from another side of a port, as threads that serve clients do. For `remote.test.ts`. */
export const remote = { isOn: false };

/** The cache as a thread sees it, with the port in the same process. */
function behindPort(cache: FakeCache): { readonly cache: Cache; readonly host: CacheHost } {
  const { port1, port2 } = new MessageChannel();
  return { host: new CacheHost(cache, port1), cache: new RemoteCache(port2) };
}

/** Upstreams: docker.io (the default), ghcr.io, and lab:5000 which also answers for the host lab.example. */
export async function startFront(options: FrontOptions = {}): Promise<Front> {
  const { cache = new FakeCache(), clock = systemClock } = options;
  const ended: EndedRequest[] = [];
  const log = new LinesLogger();
  const pool = new BufferPool();
  const stalls = new StallWatch(clock, options.stallMs);
  const changes = new ChangeCounters();
  const distant = remote.isOn ? behindPort(cache) : undefined;
  const deps = {
    cache: distant?.cache ?? cache,
    router: createRouter([
      { key: 'docker.io', hosts: [], isDefault: true },
      { key: 'ghcr.io', hosts: [], isDefault: false },
      { key: 'lab:5000', hosts: ['lab.example'], isDefault: false },
    ]),
    clock,
    logger: log,
    events: { requestEnded: (event: EndedRequest) => void ended.push(event) },
    body: { pool, sendfile: options.sendfile, stalls, clock },
    accessLog: (options.isAccessLogged ?? true) ? (line: string) => log.access(line) : undefined,
    clients: options.clients ?? new ClientAddresses(),
    headDeadlineMs: options.headDeadlineMs ?? 22_000,
    backlogs: options.backlogs ?? new Backlogs(clock),
    stallMs: options.memoryStallMs,
  };
  const listener = await Listener.listen({
    name: 'listen',
    host: '127.0.0.1',
    port: 0,
    tls: options.tls,
    handler: createFront(deps),
    hotPath: new HotPath({ ...deps, changes, keepAliveSeconds: 95, firstHeadMs: 20_000 }),
    clock,
    logger: log,
  });
  const { port } = listener.address;
  return {
    cache,
    host: distant?.host,
    changes,
    listener,
    port,
    origin: `http://127.0.0.1:${port}`,
    ended,
    log,
    pool,
    stalls,
    async [Symbol.asyncDispose]() {
      await listener.drain(AbortSignal.abort());
      distant?.host[Symbol.dispose]();
    },
  };
}
