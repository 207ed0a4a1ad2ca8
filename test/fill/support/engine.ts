/** A fill engine over a scripted upstream and a store in memory, and clients for it. */
import { Blobs } from '../../../src/cache/blobs/blobs.ts';
import type { BlobView } from '../../../src/fill/contract/blob-view.ts';
import { CacheError } from '../../../src/fill/contract/errors.ts';
import { FillConnections } from '../../../src/fill/schedule/connections.ts';
import { FillTable } from '../../../src/fill/fills.ts';
import { Keeping } from '../../../src/fill/contract/keeping.ts';
import type { CacheEvents, FillResult } from '../../../src/fill/contract/events.ts';
import type { Rights } from '../../../src/cache/contract/rights.ts';
import type { DownloadWorkers } from '../../../src/fill/worker/pool.ts';
import { Space } from '../../../src/fill/space/space.ts';
import { silentLogger } from '../../../src/lib/log.ts';
import { ChangeCounters } from '../../../src/lib/change-counters.ts';
import { Semaphore } from '../../../src/lib/semaphore.ts';
import { Shares } from '../../../src/lib/sharing/shares.ts';
import { type Digest, digestOf } from '../../../src/oci/digest.ts';
import { packRanges } from '../../../src/headers/packed-ranges.ts';
import { type RequestRange, resolveRanges } from '../../../src/headers/range.ts';
import { type Repository, parseRepository } from '../../../src/oci/reference.ts';
import type { BlobStore } from '../../../src/store/contract/blob-store.ts';

import { Metadata } from '../../../src/store/metadata/metadata.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { patienceMs, within } from '../../support/gate.ts';
import type { Upstream } from '../../../src/upstream/contract/upstream.ts';
import { byAnybody } from '../../../src/store/contract/origin.ts';
import type { BlobUpstream } from './blob-upstream.ts';
import { FaultyStore } from './faulty-store.ts';

export function repository(name: string): Repository {
  const parsed = parseRepository(name);
  if (parsed === undefined) throw new Error(`not a repository: ${name}`);
  return parsed;
}

/** Deterministic bytes that differ everywhere. */
export function content(length: number, seed = 1): Buffer {
  const bytes = Buffer.allocUnsafe(length);
  let state = seed >>> 0 || 1;
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes[i] = state >>> 24;
  }
  return bytes;
}

export interface Received {
  readonly digest: Digest;
  readonly bytes: number;
  readonly firstBytes: Buffer;
}

/** What the engine needs of an upstream: the real thing does too. */
export type EngineUpstream = Upstream & Pick<BlobUpstream, 'digest' | 'error'>;

export interface EngineOptions {
  readonly onAbandon?: 'finish' | 'keep';
  readonly maxBytes?: number;
  readonly connections?: number;
  /** In place of the store in memory, for which no thread works. */
  readonly disk?: { readonly store: BlobStore; readonly metadata: Metadata };
  readonly workers?: DownloadWorkers;
}

export class Engine implements AsyncDisposable {
  readonly clock = new FakeClock();
  readonly metadata: Metadata;
  readonly store: FaultyStore;
  readonly connections: FillConnections;
  readonly fills: FillTable;
  readonly blobs: Blobs;
  readonly space: Space;
  readonly changes = new ChangeCounters();
  readonly counts = { started: 0, joined: 0, resumed: 0, unproved: 0, evicted: 0 };
  /** What the engine believes about how busy it was. */
  busyMs = 0;
  readonly results: FillResult[] = [];
  readonly prefetches: string[] = [];
  readonly rejected: string[] = [];
  /** Repositories that `ask` was called for; it links unless the repository is in `forbidden`. */
  readonly asked: string[] = [];
  readonly forbidden = new Set<string>();

  constructor(upstreams: readonly EngineUpstream[], options: EngineOptions = {}) {
    const { clock } = this;
    this.metadata = new Metadata({ path: ':memory:', clock, logger: silentLogger });
    this.store = new FaultyStore(this.metadata);
    const { store = this.store, metadata = this.metadata } = options.disk ?? {};
    const events: CacheEvents = {
      fillStarted: () => void (this.counts.started += 1),
      fillEnded: ({ result }) => void this.results.push(result),
      fillJoined: () => void (this.counts.joined += 1),
      prefetchEnded: ({ result }) => void this.prefetches.push(result),
      fillResumed: () => void (this.counts.resumed += 1),
      unprovedRangeBytes: ({ bytes }) => void (this.counts.unproved += bytes),
      evicted: () => void (this.counts.evicted += 1),
      rejected: ({ reason }) => void this.rejected.push(reason),
    };
    const shared = { store, metadata, clock, logger: silentLogger, events };
    const limits = { maxBytes: options.maxBytes ?? 2 ** 40, minFreeBytes: () => 0 };
    this.space = new Space({ ...shared, limits, changes: this.changes });
    this.connections = new FillConnections({ perFill: options.connections ?? 8, clock, busyMs: () => this.busyMs });
    const rights: Rights = {
      standing: (key, digest, kind) => (metadata.links.has(key, digest, kind) ? 'good' : 'none'),
      isLinked: (key, digest, kind) => metadata.links.has(key, digest, kind),
      counts: () => true,
      hasWord: () => false,
      isWordEnough: () => true,
      said: (key, digest, kind) => metadata.links.add(key, digest, kind, { origin: byAnybody }),
      gave: (key, digest, kind) => metadata.links.add(key, digest, kind, { origin: byAnybody }),
      shortCut: async () => false,
      withheld: (key) => new CacheError('denied', key.upstream, 'withheld'),
      ask: async (key, digest, kind) => {
        this.asked.push(key.repository);
        const upstream = upstreams.find((candidate) => candidate.key === key.upstream);
        if (this.forbidden.has(key.repository) && upstream !== undefined) throw upstream.error('denied');
        metadata.links.add(key, digest, kind, { origin: byAnybody });
        return true;
      },
    };
    this.fills = new FillTable({
      rights,
      ...shared,
      space: this.space,
      connections: this.connections,
      keeping: new Keeping(),
      proofs: new Shares(64),
      hashTurns: new Semaphore(1),
      onAbandon: options.onAbandon ?? 'finish',
      ...(options.workers !== undefined && { workers: options.workers }),
    });
    const policies = upstreams.map(
      (upstream) =>
        [
          upstream.key,
          { upstream, access: 'public', tagTtlMs: 0, staleIfErrorMs: 0, isImmutableTag: () => false } as const,
        ] as const,
    );
    this.blobs = new Blobs({
      ...shared,
      upstreams: new Map(policies),
      rights,
      fills: this.fills,
      changes: this.changes,
    });
  }

  view(
    upstream: EngineUpstream,
    options: {
      repository?: string;
      ranges?: readonly RequestRange[];
      signal?: AbortSignal;
      client?: string;
      method?: 'get' | 'head';
    } = {},
  ): Promise<BlobView> {
    return patient(
      this.blobs.get(
        {
          upstream: upstream.key,
          repository: repository(options.repository ?? 'a/b'),
          digest: upstream.digest,
          method: options.method ?? 'get',
          ranges: options.ranges && packRanges(options.ranges),
          client: options.client,
        },
        options.signal ?? new AbortController().signal,
      ),
      'a view',
    );
  }

  /** Reads a whole body, or the first range, as a client would, hashing what comes. */
  async get(
    upstream: EngineUpstream,
    options: Parameters<Engine['view']>[1] & {
      stopAt?: number;
      onBytes?: (received: number) => Promise<void> | void;
    } = {},
  ): Promise<Received> {
    const view = await this.view(upstream, options);
    try {
      return await this.read(view, options);
    } finally {
      view.close();
    }
  }

  async read(
    view: BlobView,
    options: {
      ranges?: readonly RequestRange[];
      stopAt?: number;
      onBytes?: (received: number) => Promise<void> | void;
      signal?: AbortSignal;
    } = {},
  ): Promise<Received> {
    const signal = options.signal ?? new AbortController().signal;
    const resolved =
      options.ranges === undefined || view.sizeBytes === undefined
        ? undefined
        : resolveRanges(options.ranges, view.sizeBytes);
    const span = resolved?.kind === 'single' ? resolved.span : { start: 0, end: view.sizeBytes };
    const reader = await view.open(span, signal);
    const parts: Buffer[] = [];
    let position = span.start;
    try {
      for (;;) {
        const end = await patient(Promise.resolve(reader.readable(position, signal)), `bytes at ${position}`);
        if (end === position) break;
        const buffer = Buffer.alloc(Math.min(end - position, 64 * 1024));
        const count = await reader.read(buffer, 0, buffer.byteLength, position);
        parts.push(buffer.subarray(0, count));
        position += count;
        await options.onBytes?.(position - span.start);
        if (options.stopAt !== undefined && position - span.start >= options.stopAt) break;
      }
    } finally {
      reader.close();
    }
    const all = Buffer.concat(parts);
    return { digest: digestOf(all), bytes: all.byteLength, firstBytes: all.subarray(0, 16) };
  }

  /** Everything has ended and nothing is left open. */
  async settled(): Promise<void> {
    await patient(this.fills.close(new AbortController().signal), 'the fills to end');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.fills.close(AbortSignal.abort());
    await this.space.close();
    this.metadata.close();
  }
}

function patient<T>(promise: Promise<T>, what: string): Promise<T> {
  return within(patienceMs, promise, () => what);
}
