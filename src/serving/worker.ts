/**
 * Thread entry: serves clients on the shared port. Hits that fit in memory are answered here; for everything else the owner
 * says what is where, and the bytes are sent from here.
 */
import { isMainThread, parentPort, workerData } from 'node:worker_threads';
import { RemoteCache } from '../cache/threads/client.ts';
import { remoteErrors } from '../cache/threads/errors.ts';
import { systemClock } from '../lib/clock.ts';
import { ChangeCounters } from '../lib/change-counters.ts';
import type { LogFields, Logger } from '../lib/log.ts';
import { answerCalls } from '../lib/threads/calls.ts';
import { RequestTally } from '../metrics/request-tally.ts';
import { listenFront, type ServingFront } from './listen.ts';
import type { ServeCalls, ServeReport, ServeSetup } from './protocol.ts';

/** Access lines go to the owner in batches: when there are as many characters, or after as long. */
const batchLength = 32 * 1024;
const batchMs = 100;

function report(message: ServeReport): void {
  parentPort?.postMessage(message);
}

function reportingLogger(bound: LogFields = {}): Logger {
  const at =
    (level: 'debug' | 'info' | 'warn' | 'error') =>
    (fields: LogFields, message: string): void =>
      report({ kind: 'log', level, fields: { ...bound, ...fields }, message });
  return {
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
    child: (fields) => reportingLogger({ ...bound, ...fields }),
  };
}

class Lines {
  #text = '';
  #timer: NodeJS.Timeout | undefined;

  readonly add = (line: string): void => {
    this.#text += line;
    if (this.#text.length >= batchLength) this.flush();
    else this.#timer ??= setTimeout(() => this.flush(), batchMs);
  };

  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#text !== '') report({ kind: 'lines', text: this.#text });
    this.#text = '';
  }
}

function serve(setup: ServeSetup): void {
  const {
    host,
    port,
    tls,
    maxConnections,
    keepAliveMs,
    upstreams,
    trustedProxies,
    isAccessLogged,
    sendfileConcurrency,
  } = setup;
  const logger = reportingLogger();
  const lines = new Lines();
  const tally = new RequestTally(upstreams.map(({ key }) => key));
  const deadline = new AbortController();
  let front: ServingFront | undefined;
  const calls: ServeCalls = {
    async listen() {
      front = await listenFront({
        host,
        port,
        tls,
        maxConnections,
        keepAliveMs,
        isPortShared: true,
        clock: systemClock,
        logger,
        cache: new RemoteCache(setup.cachePort),
        changes: new ChangeCounters(setup.changes),
        upstreams,
        trustedProxies,
        events: tally,
        accessLog: isAccessLogged ? lines.add : undefined,
        sendfileConcurrency,
        fdMemory: setup.fds,
      });
      return { hasSendfile: front.hasSendfile };
    },
    gather() {
      lines.flush();
      return { series: tally.take(), connections: front?.listener.connections ?? 0 };
    },
    ping: () => undefined,
    async drain({ isImmediate }) {
      if (isImmediate) deadline.abort();
      return { broken: (await front?.listener.drain(deadline.signal)) ?? 0 };
    },
    breakOff: () => deadline.abort(),
    // Of this thread only.
    exit: () => process.exit(),
  };
  answerCalls(setup.controlPort, calls, remoteErrors);
  process.on('unhandledRejection', (reason: unknown) => {
    logger.error({ err: reason }, 'defect: a promise was rejected and nobody looked');
  });
}

if (!isMainThread) serve(workerData as ServeSetup);
