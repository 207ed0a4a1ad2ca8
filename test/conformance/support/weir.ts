/**
 * weir whole, from its listener to its disk and its upstream client, over real sockets, in front of a scripted registry:
 * everything but the configuration file. The clock is the system's unless a test turns its own.
 */
import { createCache, type RunningCache } from '../../../src/cache/create.ts';
import type { Clock } from '../../../src/lib/clock.ts';
import { systemClock } from '../../../src/lib/clock.ts';
import { silentLogger } from '../../../src/lib/log.ts';
import { Metrics } from '../../../src/metrics/metrics.ts';
import { type Serving, serve } from '../../../src/serving/serve.ts';
import { type OpenedStore, openStore } from '../../../src/store/open.ts';
import type { Upstream } from '../../../src/upstream/contract/upstream.ts';
import type { FakeClock } from '../../support/fake-clock.ts';
import { type RawResponse, type RequestOptions, rawFetch } from '../../support/raw-client.ts';
import { ScriptedUpstream, type UpstreamOptions } from '../../support/scripted-upstream.ts';
import { type TempDirectory, tempDirectory } from '../../support/temp.ts';
import { clientOf } from '../../upstream/support/clients.ts';

export interface WeirOptions extends UpstreamOptions {
  /** Default: the system's. */
  readonly clock?: FakeClock;
  readonly tagTtlMs?: number;
  readonly staleIfErrorMs?: number;
  readonly headTimeoutMs?: number;
}

/** The only upstream, and the default one. */
const key = 'lab.test';

interface Parts {
  readonly opened: OpenedStore;
  readonly client: Upstream;
  readonly running: RunningCache;
  readonly serving: Serving;
}

export class WeirUnderTest implements AsyncDisposable {
  readonly upstream: ScriptedUpstream;
  readonly #options: WeirOptions;
  readonly #clock: Clock;
  readonly #temp: TempDirectory;
  #parts: Parts | undefined;

  private constructor(upstream: ScriptedUpstream, temp: TempDirectory, options: WeirOptions) {
    this.upstream = upstream;
    this.#temp = temp;
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
  }

  static async start(options: WeirOptions = {}): Promise<WeirUnderTest> {
    const weir = new WeirUnderTest(await ScriptedUpstream.start(options), await tempDirectory('weir'), options);
    await weir.#start(false);
    return weir;
  }

  /** Ends it and starts it again with what it has stored, and with nothing that it had in memory. */
  async restart({ offline = false }: { readonly offline?: boolean } = {}): Promise<void> {
    await this.#stop();
    await this.#start(offline);
  }

  get origin(): string {
    return `http://127.0.0.1:${this.#running().serving.address.port}`;
  }

  /** `path` below `/v2/`, or the whole target when it begins with a slash. */
  ask(path: string, options: RequestOptions & { readonly timeoutMs?: number } = {}): Promise<RawResponse> {
    return rawFetch(`${this.origin}${path.startsWith('/') ? path : `/v2/${path}`}`, options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stop();
    await this.upstream[Symbol.asyncDispose]();
    await this.#temp[Symbol.asyncDispose]();
  }

  #running(): Parts {
    if (this.#parts === undefined) throw new Error('weir does not run');
    return this.#parts;
  }

  async #start(offline: boolean): Promise<void> {
    const { tagTtlMs = 300_000, staleIfErrorMs = 86_400_000, headTimeoutMs = 60_000 } = this.#options;
    const clock = this.#clock;
    const root = this.#temp.file('root');
    const opened = await openStore({ root, partialTtlMs: 86_400_000, clock, logger: silentLogger });
    const { store, metadata } = opened;
    const client = clientOf(new URL(this.upstream.url), { key, clock, isOffline: offline, headTimeoutMs });
    const storeUsage = (): { bytes: number; blobs: number; metadataBytes: number; unreadable: number } => ({
      bytes: 0,
      blobs: 0,
      metadataBytes: 0,
      unreadable: 0,
    });
    const metrics = new Metrics({ version: '0', upstreams: [key], storeUsage, isProcessMeasured: false });
    const rules = { access: 'public', tagTtlMs, staleIfErrorMs, headTimeoutMs, isImmutableTag: () => false } as const;
    const running = createCache({
      store,
      metadata,
      upstreams: new Map([[key, { ...rules, upstream: client }]]),
      clock,
      logger: silentLogger,
      events: metrics,
      limits: { maxBytes: 2 ** 40, minFreeBytes: () => 0 },
      onAbandon: 'finish',
      connections: 8,
      offline,
    });
    const serving = await serve({
      host: '127.0.0.1',
      port: 0,
      tls: undefined,
      maxConnections: undefined,
      keepAliveMs: 620_000,
      threads: 1,
      sendfileConcurrency: 1,
      trustedProxies: [],
      upstreams: [{ key, hosts: [], isDefault: true, headTimeoutMs }],
      cache: running.cache,
      changes: running.changes,
      clock,
      logger: silentLogger,
      metrics,
      accessLog: undefined,
    });
    this.#parts = { opened, client, running, serving };
  }

  async #stop(): Promise<void> {
    const { opened, client, running, serving } = this.#running();
    this.#parts = undefined;
    const now = AbortSignal.abort();
    await serving.drain(now);
    await running.close(now);
    await client.close();
    await opened.close();
  }
}

/** The first error of an OCI error document. */
export function errorOf({ body }: RawResponse): { readonly code: string; readonly message: string } {
  const { errors } = JSON.parse(body.toString()) as { readonly errors: readonly { code: string; message: string }[] };
  const [first] = errors;
  if (first === undefined) throw new Error('an error document without errors');
  return first;
}
