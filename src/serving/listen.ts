/** The listener that clients talk to, with everything behind it but the cache: the same on the owner and on a thread. */
import { Backlogs } from '../http/listener/backlogs.ts';
import type { HttpEvents } from '../http/v2/context.ts';
import { createFront } from '../http/v2/front.ts';
import { BufferPool } from '../http/body/buffer-pool.ts';
import { ConnectionShares } from '../http/listener/connection-shares.ts';
import { HotPath } from '../http/hot/hot-path.ts';
import { Sendfile } from '../http/body/sendfile.ts';
import { Listener, type ListenOptions } from '../http/listener/listener.ts';
import { StallWatch } from '../http/body/stalled-clients.ts';
import type { Cache } from '../cache/contract/cache.ts';
import { type AddressBlock, ClientAddresses } from '../lib/sharing/client-address.ts';
import type { ChangeCounters } from '../lib/change-counters.ts';
import { createRouter, type RoutedUpstream } from '../routing/router.ts';

export interface ServeFrontOptions extends Omit<ListenOptions, 'name' | 'handler' | 'hotPath' | 'shares'> {
  readonly keepAliveMs: number;
  readonly cache: Cache;
  readonly changes: ChangeCounters;
  readonly upstreams: readonly RoutedUpstream[];
  /** Proxies whose X-Forwarded-For counts. */
  readonly trustedProxies: readonly AddressBlock[];
  readonly events: HttpEvents;
  readonly accessLog: ((line: string) => void) | undefined;
  /** Calls of sendfile at once. */
  readonly sendfileConcurrency: number;
  /** Where duplicated descriptors are entered, for whoever cleans up behind this thread. */
  readonly fdMemory?: SharedArrayBuffer;
}

export interface ServingFront {
  readonly listener: Listener;
  /** Large bodies go by sendfile. */
  readonly hasSendfile: boolean;
}

/** For the first head on a connection. */
const firstHeadMs = 20_000;
/** For one question upstream; what is made of its answer takes a moment more. */
const leastHeadTimeoutMs = 60_000;
const momentMs = 5_000;

/** Rejects with ListenError. Resolves when connections are accepted. */
export async function listenFront(options: ServeFrontOptions): Promise<ServingFront> {
  const { clock, logger, cache, changes, events, accessLog, tls, fdMemory } = options;
  // A listener with TLS could not use it.
  const sendfile =
    tls === undefined
      ? await Sendfile.load({
          logger,
          concurrency: options.sendfileConcurrency,
          ...(fdMemory === undefined ? {} : { memory: fdMemory }),
        })
      : undefined;
  const timeouts = options.upstreams.map((upstream) => upstream.headTimeoutMs ?? 0);
  const headTimeoutMs = Math.max(leastHeadTimeoutMs, ...timeouts);
  const clients = new ClientAddresses(options.trustedProxies);
  const deps = {
    clock,
    logger,
    cache,
    router: createRouter(options.upstreams),
    clients,
    events,
    body: { pool: new BufferPool(), sendfile, stalls: new StallWatch(clock), clock },
    backlogs: new Backlogs(clock),
    accessLog,
    headDeadlineMs: headTimeoutMs + momentMs,
  };
  const shares = new ConnectionShares({ maxConnections: options.maxConnections, clients, clock });
  const listener = await Listener.listen({
    ...options,
    shares,
    name: 'listen',
    handler: createFront(deps),
    hotPath: new HotPath({
      ...deps,
      shares,
      changes,
      keepAliveSeconds: options.keepAliveMs / 1000,
      firstHeadMs,
    }),
  });
  return { listener, hasSendfile: sendfile !== undefined };
}
