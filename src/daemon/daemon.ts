/** The composition root: one daemon made of a configuration, and taken apart again in the right order. */
import { createRequire } from 'node:module';
import { type DestinationStream, pino, stdSerializers } from 'pino';
import { leave } from './leaving.ts';
import { maxConnections, readSecrets, warnOfFloor } from './settings.ts';
import { createUpstreams, legacyUpstreams } from './upstreams.ts';
import { createCache } from '../cache/create.ts';
import { withLargeAnswers } from '../cache/large-answers.ts';
import type { UpstreamPolicy } from '../cache/contract/upstream-policy.ts';
import type { Daemon } from '../cli/frame/command.ts';
import { formatListen, isLoopback } from '../config/schema/addresses.ts';
import type { Config, LogLevel } from '../config/values/config.ts';
import { threadPoolSize } from '../config/thread-pool.ts';
import { minFreeBytes } from '../config/values/units.ts';
import { createAdmin } from '../admin/admin.ts';
import { Listener } from '../http/listener/listener.ts';
import { withoutSecrets } from '../http/request/text.ts';
import { systemClock } from '../lib/clock.ts';
import type { Logger } from '../lib/log.ts';
import { Metrics } from '../metrics/metrics.ts';
import { metadataShare, type OpenedStore, openStore } from '../store/open.ts';
import { serve } from '../serving/serve.ts';

export interface DaemonOptions {
  /** Where log lines go, one JSON text each. Default: standard output, written in batches. */
  readonly logTo?: DestinationStream & { flushSync?(): void };
  /**
   * The process is this daemon's: it measures it and answers for its defects. False lets several daemons live in one.
   * Default true.
   */
  readonly ownsProcess?: boolean;
  /** Milliseconds that answers and transfers together get to finish after `stop`. */
  readonly graceMs?: number;
}

/** Below the 20 to 30 s after which service managers kill; what is cut short is resumed after the next start. */
const defaultGraceMs = 15_000;

export function version(): string {
  const manifest: unknown = createRequire(import.meta.url)('../../package.json');
  const isKnown = typeof manifest === 'object' && manifest !== null && 'version' in manifest;
  return isKnown && typeof manifest.version === 'string' ? manifest.version : 'unknown';
}

/**
 * Resolves when both listeners accept requests; waits neither for upstreams nor for the recovery of the store. Rejects
 * with StartError, ListenError or StoreError, and leaves nothing behind then.
 */
export async function startDaemon(config: Config, options: DaemonOptions = {}): Promise<Daemon> {
  const clock = systemClock;
  const logTo = options.logTo ?? pino.destination({ dest: 1, sync: false, minLength: 4096, periodicFlush: 200 });
  const logger = createLogger(config.log.level, logTo);
  const secrets = readSecrets(config);
  await using undo = new AsyncDisposableStack();

  const opened = await openStore({
    root: config.cache.root,
    partialTtlMs: config.fill.partialTtlMs,
    mostMetadataBytes: metadataShare(config.cache.maxSizeBytes),
    clock,
    logger: logger.child({ room: 'store' }),
    legacy: legacyUpstreams(config),
  });
  undo.defer(() => opened.close());
  await warnOfFloor(config, opened.store, logger);
  const metrics = createMetrics(config, opened, options);
  const upstreamLogger = logger.child({ room: 'upstream' });
  const { policies: upstreams, stored } = await createUpstreams(config, {
    clock,
    logger: upstreamLogger,
    events: metrics,
  });
  undo.defer(() => closeUpstreams(upstreams));
  const running = createCache({
    store: opened.store,
    metadata: opened.metadata,
    upstreams,
    clock,
    logger: logger.child({ room: 'cache' }),
    events: metrics,
    limits: { maxBytes: config.cache.maxSizeBytes, minFreeBytes: minFreeBytes(config.cache.minFree) },
    onAbandon: config.fill.onAbandon,
    connections: config.fill.connections,
    offline: config.offline,
    prefetch: config.prefetch.enabled ? config.prefetch : undefined,
  });
  undo.defer(() => running.close(AbortSignal.abort()));
  const watch = stored.watch(clock, () => running.changes.bumpAll());
  undo.use(watch);
  const unguard = options.ownsProcess === false ? (): void => undefined : guardProcess(logger, metrics);
  undo.defer(unguard);

  let isReady = false;
  const network = { clock, logger: logger.child({ room: 'http' }) };
  const front = await serve({
    ...network,
    ...config.listen,
    tls: secrets.tls,
    maxConnections: maxConnections(),
    threads: config.serve.threads,
    keepAliveMs: config.serve.keepAliveMs,
    sendfileConcurrency: Math.max(1, Math.floor(threadPoolSize() / 2)),
    upstreams: config.upstreams,
    trustedProxies: config.trustedProxies,
    cache: withLargeAnswers(running.cache, { store: opened.store, scratch: opened.scratch }),
    changes: running.changes,
    metrics,
    accessLog: accessLog(config, logTo),
  });
  metrics.sendfileLoaded(front.hasSendfile);
  undo.defer(async () => void (await front.drain(AbortSignal.abort())));
  const admin = await Listener.listen({
    ...network,
    name: 'admin.listen',
    ...config.admin.listen,
    handler: createAdmin({
      logger: network.logger,
      metrics: async () => {
        await front.gather();
        return metrics.render();
      },
      isReady: () => isReady,
      token: secrets.adminToken,
      isLoopback: isLoopback(config.admin.listen),
      hosts: [config.admin.listen.host, ...config.admin.hosts],
    }),
  });
  undo.move();
  isReady = true;
  running.warmUp();
  const addresses = { registry: front.address, admin: admin.address };
  announce(config, addresses, opened, logger);

  const deadline = new AbortController();
  const takeApart = async (): Promise<void> => {
    isReady = false;
    using _grace = clock.setTimer(options.graceMs ?? defaultGraceMs, () => deadline.abort());
    logger.info({ connections: await front.gather(), fills: running.fillCount() }, 'stopping');
    // 1. No new requests; answers in progress finish, and the transfers that they follow run on.
    const brokenConnections = await front.drain(deadline.signal);
    watch[Symbol.dispose]();
    // 2. Transfers finish, or stay as partials.
    await running.close(deadline.signal);
    await closeUpstreams(upstreams);
    // 3. Recency and index.json are written, and the root is given back.
    await opened.close();
    // 4. Health answers to the end.
    await admin.drain(AbortSignal.abort());
    unguard();
    logger.info({ brokenConnections }, 'stopped');
    logTo.flushSync?.();
  };
  const stopped = Promise.withResolvers<void>();
  // Whoever calls `stop` hears of a failure there; nobody has to watch `stopped` as well.
  stopped.promise.catch(() => undefined);
  let stopping: Promise<void> | undefined;
  const stop = (): Promise<void> => {
    if (stopping === undefined) {
      const onLate = (): void => {
        logger.warn({}, 'leaving takes too long: what is not put away stays as a kill leaves it');
        logTo.flushSync?.();
      };
      stopping = leave(takeApart(), deadline.signal, clock, onLate);
      stopping.then(stopped.resolve, stopped.reject);
    } else {
      deadline.abort();
    }
    return stopping;
  };
  return { addresses, stop, stopped: stopped.promise };
}

const secretFields = ['authorization', 'token', 'password', 'secret'];

/** Access lines are of level info. Nothing in them needs redaction: their fields are known, and none can hold a secret. */
function accessLog({ log }: Config, destination: DestinationStream): ((line: string) => void) | undefined {
  const isWanted = log.access && (log.level === 'info' || log.level === 'debug');
  return isWanted ? (line) => destination.write(line) : undefined;
}

function createLogger(level: LogLevel, destination: DestinationStream): Logger {
  return pino(
    {
      level,
      base: { service: 'weir' },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: {
        err(error: Error) {
          const { type, message, stack, raw: _, ...rest } = stdSerializers.err(error);
          return { type, message: withoutSecrets(message), stack: withoutSecrets(stack), ...rest };
        },
      },
      redact: { paths: [...secretFields, ...secretFields.map((name) => `*.${name}`)], censor: '***' },
    },
    destination,
  );
}

/** A promise that failed unseen is a defect, and of one request: no reason to break off all others. */
function guardProcess(logger: Logger, metrics: Metrics): () => void {
  const onRejection = (reason: unknown): void => {
    metrics.rejected({ reason: 'unhandled-rejection' });
    logger.error({ err: reason }, 'defect: a promise was rejected and nobody looked');
  };
  process.on('unhandledRejection', onRejection);
  return () => void process.off('unhandledRejection', onRejection);
}

function createMetrics(config: Config, { store }: OpenedStore, { ownsProcess = true }: DaemonOptions): Metrics {
  return new Metrics({
    version: version(),
    upstreams: config.upstreams.map(({ key }) => key),
    storeUsage: () => {
      const { blobs, blobBytes, ingestBytes, zombieBytes, overheadBytes, metadataBytes, unreadable } = store.usage();
      return { blobs, bytes: blobBytes + ingestBytes + zombieBytes + overheadBytes, metadataBytes, unreadable };
    },
    isProcessMeasured: ownsProcess,
  });
}

async function closeUpstreams(upstreams: ReadonlyMap<string, UpstreamPolicy>): Promise<void> {
  await Promise.all([...upstreams.values()].map(({ upstream }) => upstream.close()));
}

function announce(config: Config, addresses: Daemon['addresses'], { wasClean }: OpenedStore, logger: Logger): void {
  const registry = formatListen(addresses.registry);
  const fields = {
    version: version(),
    listen: registry,
    admin: formatListen(addresses.admin),
    root: config.cache.root,
    upstreams: config.upstreams.map(({ key }) => key),
    offline: config.offline,
    wasClean,
  };
  logger.info(fields, `ready at ${config.tls === undefined ? 'http' : 'https'}://${registry}`);
  const open = config.upstreams.filter(({ access }) => access === 'all').map(({ key }) => key);
  if (open.length > 0) {
    logger.warn({ upstreams: open }, 'access is all: whoever reaches weir may read what the credential can read');
  }
}
