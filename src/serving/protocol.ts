/** What the owner and a thread that serves clients say to each other, beside what the cache is asked. */
import type { MessagePort } from 'node:worker_threads';
import type { AddressBlock } from '../lib/sharing/client-address.ts';
import type { LogFields } from '../lib/log.ts';
import type { RequestSeries } from '../metrics/request-tally.ts';
import type { RoutedUpstream } from '../routing/router.ts';

/** Given to the thread when it starts; plain values and ports. */
export interface ServeSetup {
  readonly host: string;
  readonly port: number;
  readonly tls: { readonly cert: string; readonly key: string } | undefined;
  readonly maxConnections: number | undefined;
  readonly keepAliveMs: number;
  readonly upstreams: readonly RoutedUpstream[];
  readonly trustedProxies: readonly AddressBlock[];
  readonly isAccessLogged: boolean;
  readonly sendfileConcurrency: number;
  /** Of ChangeCounters. */
  readonly changes: SharedArrayBuffer;
  /** Of DescriptorTable. */
  readonly fds: SharedArrayBuffer;
  /** To the owner's CacheHost. */
  readonly cachePort: MessagePort;
  /** From the owner: ServeCalls. */
  readonly controlPort: MessagePort;
}

/** What the owner asks of a thread. */
export type ServeCalls = {
  /** Accepts connections. */
  listen(argument: undefined, signal: AbortSignal): Promise<{ readonly hasSendfile: boolean }>;
  /** Hands over what was counted and logged. */
  gather(argument: undefined, signal: AbortSignal): Gathered;
  /** Nothing but an answer: the thread is alive. */
  ping(argument: undefined, signal: AbortSignal): void;
  /** Stops accepting; resolves when all answers are out. Aborting the call breaks those that are not. */
  drain(argument: { readonly isImmediate: boolean }, signal: AbortSignal): Promise<{ readonly broken: number }>;
  /** Breaks off what a drain still waits for. */
  breakOff(argument: undefined, signal: AbortSignal): void;
  /** Ends the thread between two of its turns, with what it is doing. No answer comes. */
  exit(argument: undefined, signal: AbortSignal): void;
};

export interface Gathered {
  readonly series: readonly RequestSeries[];
  readonly connections: number;
}

/** What a thread reports by itself, on its parent port. */
export type ServeReport =
  | { readonly kind: 'lines'; readonly text: string }
  | {
      readonly kind: 'log';
      readonly level: 'debug' | 'info' | 'warn' | 'error';
      readonly fields: LogFields;
      readonly message: string;
    };
