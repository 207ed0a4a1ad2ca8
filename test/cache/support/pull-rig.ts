/** A whole cache over a scripted registry on real sockets, with a clock that the test turns, and clients that pull. */
import type { ManifestAnswer } from '../../../src/cache/contract/cache.ts';
import type { BlobView } from '../../../src/fill/contract/blob-view.ts';
import { createCache, type RunningCache } from '../../../src/cache/create.ts';
import type { CacheEvents, FillResult, PrefetchResult } from '../../../src/fill/contract/events.ts';
import { outcomeLabel } from '../../../src/headers/cache-status.ts';
import { silentLogger } from '../../../src/lib/log.ts';
import { parseDigest } from '../../../src/oci/digest.ts';
import { parseReference } from '../../../src/oci/reference.ts';
import { Metadata } from '../../../src/store/metadata/metadata.ts';
import type { CredentialSource } from '../../../src/upstream/credentials/credentials.ts';
import { PublicUpstream } from '../../../src/upstream/public-upstream.ts';
import type { Upstream } from '../../../src/upstream/contract/upstream.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import type { BuiltManifest } from '../../support/image-builder.ts';
import { ScriptedUpstream } from '../../support/scripted-upstream.ts';
import { clientOf } from '../../upstream/support/clients.ts';
import { repository } from '../../fill/support/engine.ts';
import { FaultyStore } from '../../fill/support/faulty-store.ts';
import { patient } from './policy-rig.ts';

export interface PullRigOptions {
  readonly connections?: number;
  /** Of one manifest; default 1 GiB. `off`: no prefetching. */
  readonly prefetchBytes?: number | 'off';
  readonly maxBytes?: number;
  readonly offline?: boolean;
  /** Default: everything is anonymous. */
  readonly credentials?: CredentialSource;
}

export interface Asking {
  readonly client?: string;
  readonly repository?: string;
  readonly method?: 'get' | 'head';
}

export class PullRig implements AsyncDisposable {
  readonly clock = new FakeClock();
  readonly metadata = new Metadata({ path: ':memory:', clock: this.clock, logger: silentLogger });
  readonly store = new FaultyStore(this.metadata);
  readonly registry: ScriptedUpstream;
  readonly results: FillResult[] = [];
  readonly prefetches: PrefetchResult[] = [];
  readonly running: RunningCache;
  readonly #upstream: Upstream;
  #fills = 0;

  private constructor(registry: ScriptedUpstream, options: PullRigOptions) {
    const { clock, metadata, store } = this;
    const { connections = 8, prefetchBytes = 2 ** 30, maxBytes = 2 ** 40, offline = false, credentials } = options;
    this.registry = registry;
    const way = { key: 'lab', connections, isOffline: offline };
    const member = clientOf(new URL(registry.url), { ...way, credentials });
    const stranger = clientOf(new URL(registry.url), way);
    const events_ = { upstreamRejected: (): void => undefined };
    this.#upstream = new PublicUpstream({ member, stranger, logger: silentLogger, events: events_ });
    const rules = { access: 'public', tagTtlMs: 60_000, staleIfErrorMs: 0, isImmutableTag: () => false } as const;
    const events: CacheEvents = {
      fillStarted: () => void this.#fills++,
      fillEnded: ({ result }) => void this.results.push(result),
      fillJoined: () => undefined,
      fillResumed: () => undefined,
      prefetchEnded: ({ result }) => void this.prefetches.push(result),
      unprovedRangeBytes: () => undefined,
      evicted: () => undefined,
      rejected: () => undefined,
    };
    this.running = createCache({
      store,
      metadata,
      upstreams: new Map([['lab', { ...rules, upstream: this.#upstream }]]),
      clock,
      logger: silentLogger,
      events,
      limits: { maxBytes, minFreeBytes: () => 0 },
      connections: 8,
      onAbandon: 'finish',
      offline,
      prefetch: prefetchBytes === 'off' ? undefined : { maxBytes: prefetchBytes },
    });
  }

  static async start(options: PullRigOptions = {}): Promise<PullRig> {
    return new PullRig(await ScriptedUpstream.start(), options);
  }

  /** Fills that were begun. */
  get fills(): number {
    return this.#fills;
  }

  /** Digests of the blobs that the registry was asked for by GET, in order. */
  get asked(): readonly string[] {
    return this.registry.matching({ kind: 'blob', method: 'GET' }).map(({ reference }) => reference);
  }

  manifest(image: BuiltManifest, { client = 'a', repository: name = 'org/app', method = 'get' }: Asking = {}) {
    const reference = parseReference(image.digest);
    if (reference === undefined) throw new Error('no digest');
    const query = { upstream: 'lab', repository: repository(name), reference, method, client };
    const answer: Promise<ManifestAnswer> = this.running.cache.manifest(query, new AbortController().signal);
    return patient(answer, 'a manifest');
  }

  /** Takes a lease on the manifest, as whoever answers it from memory does. */
  async lease(image: BuiltManifest, { repository: name = 'org/app', method = 'get' }: Asking = {}): Promise<void> {
    const reference = parseReference(image.digest);
    if (reference === undefined) throw new Error('no digest');
    const query = { kind: 'manifest', upstream: 'lab', repository: repository(name), reference, method } as const;
    if ((await this.running.cache.peek(query)) === undefined) throw new Error('no lease');
  }

  view(text: string, { client = 'a', repository: name = 'org/app', method = 'get' }: Asking = {}): Promise<BlobView> {
    const digest = parseDigest(text);
    if (digest === undefined) throw new Error(`no digest: ${text}`);
    const query = { upstream: 'lab', repository: repository(name), digest, method, ranges: undefined, client };
    return patient(this.running.cache.blob(query, new AbortController().signal), 'a blob');
  }

  /** Reads the whole blob; resolves how it was come by and how many bytes it has. */
  async blob(digest: string, asking: Asking = {}): Promise<{ readonly how: string; readonly bytes: Buffer }> {
    const view = await this.view(digest, asking);
    const { signal } = new AbortController();
    const reader = await view.open({ start: 0, end: view.sizeBytes }, signal);
    const parts: Buffer[] = [];
    try {
      for (let position = 0; ;) {
        const end = await patient(Promise.resolve(reader.readable(position, signal)), `bytes at ${position}`);
        if (end === position) break;
        const buffer = Buffer.alloc(end - position);
        const count = await reader.read(buffer, 0, buffer.byteLength, position);
        parts.push(buffer.subarray(0, count));
        position += count;
      }
    } finally {
      reader.close();
      view.close();
    }
    return { how: outcomeLabel(view.outcome), bytes: Buffer.concat(parts) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.running.close(AbortSignal.abort());
    await this.#upstream.close();
    await this.registry[Symbol.asyncDispose]();
    this.metadata.close();
  }
}
