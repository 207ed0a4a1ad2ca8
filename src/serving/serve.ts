/** How clients are served: by the owner itself, or by several threads. */
import { availableParallelism } from 'node:os';
import type { Cache } from '../cache/contract/cache.ts';
import type { AddressBlock } from '../lib/sharing/client-address.ts';
import type { Clock } from '../lib/clock.ts';
import type { ChangeCounters } from '../lib/change-counters.ts';
import type { Logger } from '../lib/log.ts';
import type { Metrics } from '../metrics/metrics.ts';
import { listenFront } from './listen.ts';
import { ServeThreads } from './threads.ts';
import type { RoutedUpstream } from '../routing/router.ts';

export interface ServeOptions {
  readonly host: string;
  readonly port: number;
  readonly tls: { readonly cert: string; readonly key: string } | undefined;
  readonly maxConnections: number | undefined;
  readonly keepAliveMs: number;
  /** `serve.threads`: 0 for as many as there are cores, at most 4; 1 for none beside the owner. */
  readonly threads: number;
  /** Of the process. */
  readonly sendfileConcurrency: number;
  readonly upstreams: readonly RoutedUpstream[];
  readonly trustedProxies: readonly AddressBlock[];
  readonly cache: Cache;
  readonly changes: ChangeCounters;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
  /** Takes access lines, one or more at a time, each with its newline. */
  readonly accessLog: ((lines: string) => void) | undefined;
}

export interface Serving {
  readonly address: { readonly host: string; readonly port: number };
  readonly hasSendfile: boolean;
  /** Makes the metrics complete, and resolves the number of open connections. Never rejects. */
  gather(): Promise<number>;
  /** See `Listener.drain`. Call it once. */
  drain(deadline: AbortSignal): Promise<number>;
}

const mostThreads = 4;

/** Rejects with ListenError, and leaves nothing behind then. Resolves when connections are accepted. */
export async function serve(options: ServeOptions): Promise<Serving> {
  const threads = threadsFor(options.threads);
  const { metrics, accessLog } = options;
  if (threads > 1) {
    return ServeThreads.start({
      ...options,
      threads,
      isAccessLogged: accessLog !== undefined,
      onLines: (text) => accessLog?.(text),
      onSeries: (series) => metrics.requestsEnded(series),
    });
  }
  const { listener, hasSendfile } = await listenFront({ ...options, events: metrics, accessLog });
  return {
    address: listener.address,
    hasSendfile,
    gather: () => Promise.resolve(listener.connections),
    drain: (deadline) => listener.drain(deadline),
  };
}

/** Sharing a port among threads, and finding each other's files, is Linux's alone. */
function threadsFor(configured: number): number {
  if (process.platform !== 'linux') return 1;
  return configured === 0 ? Math.min(availableParallelism(), mostThreads) : configured;
}
