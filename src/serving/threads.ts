/**
 * Several threads on one port. The kernel deals connections out among them (SO_REUSEPORT); a thread that dies takes its own
 * connections with it and is replaced.
 */
import type { Cache } from '../cache/contract/cache.ts';
import { ListenError } from '../http/listener/listen-error.ts';
import { Listener, type ListenOptions } from '../http/listener/listener.ts';
import type { AddressBlock } from '../lib/sharing/client-address.ts';
import type { Clock } from '../lib/clock.ts';
import type { ChangeCounters } from '../lib/change-counters.ts';
import type { Logger } from '../lib/log.ts';
import type { RequestSeries } from '../metrics/request-tally.ts';
import { ServeThread } from './thread.ts';
import type { RoutedUpstream } from '../routing/router.ts';

export interface ServeThreadsOptions {
  /** At least 1. */
  readonly threads: number;
  readonly host: string;
  readonly port: number;
  readonly tls: { readonly cert: string; readonly key: string } | undefined;
  /** Of all threads together. */
  readonly maxConnections: number | undefined;
  readonly keepAliveMs: number;
  readonly sendfileConcurrency: number;
  readonly upstreams: readonly RoutedUpstream[];
  readonly trustedProxies: readonly AddressBlock[];
  readonly isAccessLogged: boolean;
  readonly cache: Cache;
  readonly changes: ChangeCounters;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly onLines: (text: string) => void;
  readonly onSeries: (series: readonly RequestSeries[]) => void;
}

/** A thread that cannot start is tried again so often. */
const restartMs = 1_000;

export class ServeThreads {
  readonly address: { readonly host: string; readonly port: number };
  readonly #options: ServeThreadsOptions;
  readonly #threads = new Set<ServeThread>();
  #hasSendfile = false;
  #isEnding = false;
  #replacing: Promise<unknown> = Promise.resolve();

  private constructor(options: ServeThreadsOptions, address: { readonly host: string; readonly port: number }) {
    this.#options = options;
    this.address = address;
  }

  /** Rejects with ListenError, and leaves nothing behind then. Resolves when every thread accepts connections. */
  static async start(options: ServeThreadsOptions): Promise<ServeThreads> {
    const address = await probe(options);
    const threads = new ServeThreads(options, address);
    const all = await Promise.allSettled(Array.from({ length: options.threads }, () => threads.#add()));
    const failed = all.find((result) => result.status === 'rejected');
    if (failed === undefined) return threads;
    await threads.#end();
    const cause: unknown = failed.reason;
    throw new ListenError('other', `listen: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }

  /** Threads that accept connections. */
  get size(): number {
    return this.#threads.size;
  }

  get hasSendfile(): boolean {
    return this.#hasSendfile;
  }

  /** Takes over what the threads have counted, and resolves the number of their connections. Never rejects. */
  async gather(): Promise<number> {
    const all = await Promise.allSettled([...this.#threads].map((thread) => thread.gather()));
    let sum = 0;
    for (const result of all) {
      if (result.status === 'rejected') continue;
      this.#options.onSeries(result.value.series);
      sum += result.value.connections;
    }
    return sum;
  }

  /** See `Listener.drain`. The threads are gone afterwards. */
  async drain(deadline: AbortSignal): Promise<number> {
    this.#isEnding = true;
    await this.#replacing;
    const broken = await Promise.all([...this.#threads].map((thread) => thread.drain(deadline)));
    await this.gather();
    await this.#end();
    return broken.reduce((sum, one) => sum + one, 0);
  }

  async #end(): Promise<void> {
    this.#isEnding = true;
    await Promise.all([...this.#threads].map((thread) => thread.terminate()));
  }

  async #add(): Promise<void> {
    const { threads, maxConnections, keepAliveMs, sendfileConcurrency, host, tls, upstreams, isAccessLogged } =
      this.#options;
    const { cache, clock, logger, onLines, changes, trustedProxies } = this.#options;
    const thread = new ServeThread({
      setup: {
        host,
        port: this.address.port,
        tls,
        maxConnections: maxConnections === undefined ? undefined : Math.ceil(maxConnections / threads),
        keepAliveMs,
        upstreams: upstreams.map(plain),
        trustedProxies,
        isAccessLogged,
        sendfileConcurrency: Math.max(1, Math.floor(sendfileConcurrency / threads)),
        changes: changes.buffer,
      },
      cache,
      clock,
      logger,
      onLines,
      onExit: (ended) => this.#replace(ended),
    });
    try {
      this.#hasSendfile = (await thread.listen()).hasSendfile;
    } catch (error) {
      await thread.terminate();
      throw error;
    }
    this.#threads.add(thread);
  }

  #replace(ended: ServeThread): void {
    if (!this.#threads.delete(ended) || this.#isEnding) return;
    this.#options.logger.error({}, 'a thread that serves clients has ended; another one takes its place');
    this.#replacing = Promise.all([this.#replacing, this.#restart()]);
  }

  /** Never rejects. */
  async #restart(): Promise<void> {
    const { logger, clock } = this.#options;
    while (!this.#isEnding) {
      try {
        await this.#add();
        return;
      } catch (error) {
        logger.error({ err: error }, 'a thread that serves clients could not be started');
        await clock.sleep(restartMs);
      }
    }
  }
}

/** Whether the address is to be had, and which port it is: with a shared port a second daemon would listen in silence. */
async function probe(options: ServeThreadsOptions): Promise<{ readonly host: string; readonly port: number }> {
  const asked: ListenOptions = {
    ...options,
    name: 'listen',
    tls: options.tls,
    handler: (_req, res) => void res.destroy(),
  };
  const listener = await Listener.listen(asked);
  const { address } = listener;
  await listener.drain(AbortSignal.abort());
  return address;
}

/** Without what a thread needs not know, and what cannot be sent to it. */
function plain({ key, hosts, isDefault, isHub, headTimeoutMs }: RoutedUpstream): RoutedUpstream {
  return { key, hosts, isDefault, isHub, headTimeoutMs };
}
