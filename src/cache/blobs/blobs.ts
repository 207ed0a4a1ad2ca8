/** Blobs: the right to read first, then the store, then a fill that everybody shares. */
import type { Clock } from '../../lib/clock.ts';
import { abortable } from '../../lib/abort.ts';
import type { ChangeCounters } from '../../lib/change-counters.ts';
import type { Logger } from '../../lib/log.ts';
import { digestAlgorithm, digestOf, type Digest } from '../../oci/digest.ts';
import type { BlobInfo, BlobStore } from '../../store/contract/blob-store.ts';
import type { RepositoryKey } from '../../store/contract/metadata.ts';
import type { Metadata } from '../../store/metadata/metadata.ts';
import { isNotFound, isOutage, UpstreamError } from '../../upstream/contract/errors.ts';
import type { Upstream } from '../../upstream/contract/upstream.ts';
import type { BlobQuery, LeasedAnswer } from '../contract/cache.ts';
import type { BlobView } from '../../fill/contract/blob-view.ts';
import { BlobAccess, unproved } from './access.ts';
import { BlobSizes } from './sizes.ts';
import { openPassthrough } from '../../fill/readers/passthrough-view.ts';
import { CacheError } from '../../fill/contract/errors.ts';
import type { CacheEvents } from '../../fill/contract/events.ts';
import type { FillTable } from '../../fill/fills.ts';
import { headOf } from '../../fill/head-of.ts';
import { repositoryText } from '../../store/contract/keys.ts';
import { lease, longestInMemory, longestWithoutBytesMs } from '../contract/lease.ts';
import { look } from '../../fill/contract/look.ts';
import { NegativeCache } from '../freshness/negative-cache.ts';
import type { Outcome } from '../../headers/cache-status.ts';
import { rangeAt } from '../../headers/packed-ranges.ts';
import type { UpstreamPolicy } from '../contract/upstream-policy.ts';
import type { Rights } from '../contract/rights.ts';
import { StoredView } from '../../fill/readers/stored-view.ts';
import { viewOf } from './view.ts';

/** For one question upstream, and for the wait for a transfer, where the upstream has no other. */
const defaultHeadTimeoutMs = 60_000;
/** What is made of the answer takes a moment more. */
const momentMs = 2_000;
/** 404s are remembered this long, and nothing else is. */
const negativeTtlMs = 5000;
const hit: Outcome = { kind: 'hit' };

export interface BlobsOptions {
  readonly store: BlobStore;
  readonly metadata: Metadata;
  readonly upstreams: ReadonlyMap<string, UpstreamPolicy>;
  readonly rights: Rights;
  readonly fills: FillTable;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly events: CacheEvents;
  readonly changes: ChangeCounters;
  /** Told when a repository has said that it has no such blob. Must not throw. */
  readonly onAbsent?: ((key: RepositoryKey, digest: Digest) => void) | undefined;
  /** Told of each request that its client had the right to make, after its own fill has begun. Must not throw. */
  readonly onAsked?: ((query: BlobQuery) => void) | undefined;
}

export class Blobs {
  readonly #options: BlobsOptions;
  readonly #negativeCache: NegativeCache;
  readonly #sizes: BlobSizes;
  readonly #access: BlobAccess;

  constructor(options: BlobsOptions) {
    this.#options = options;
    this.#negativeCache = new NegativeCache(options.clock);
    this.#sizes = new BlobSizes(options.rights);
    this.#access = new BlobAccess(options);
  }

  async get(query: BlobQuery, signal: AbortSignal): Promise<BlobView> {
    const { rights } = this.#options;
    const { digest } = query;
    const { upstream } = this.#policy(query.upstream);
    const key = { upstream: query.upstream, repository: query.repository };
    const standing = rights.standing(key, digest, 'blob');
    const info = await look(this.#options, digest);
    if (info !== undefined && !info.isSuspect) {
      if (standing === 'good' || (await rights.shortCut(key, digest))) return this.#hit(query, upstream, info);
    }
    const refusal = this.#negativeCache.get(negativeKey(key, digest));
    if (refusal !== undefined) throw refusal;
    try {
      return await this.#withDeadline(query, signal, (limited) => this.#bring(query, upstream, limited));
    } catch (error) {
      if (isNotFound(error)) {
        this.#negativeCache.remember(negativeKey(key, digest), error, negativeTtlMs);
        this.#options.onAbsent?.(key, digest);
      }
      if (standing === 'withheld' && isOutage(error)) throw rights.withheld(key, error);
      if (standing !== 'held' || !isOutage(error) || info === undefined || info.isSuspect) throw error;
      return this.#hit(query, upstream, info);
    }
  }

  #hit(query: BlobQuery, upstream: Upstream, info: BlobInfo): BlobView {
    const { store, metadata } = this.#options;
    metadata.blobs.touch(query.digest);
    this.#options.onAsked?.(query);
    const refill = (late: AbortSignal): Promise<BlobView> => this.#fill(query, upstream, late);
    return new StoredView({ store, info, outcome: hit, refill });
  }

  /** See `Cache.peek`. Bytes only of blobs that are small; they are proved again on their way into memory. */
  async peek({ upstream, repository, digest, method }: Omit<BlobQuery, 'ranges'>): Promise<LeasedAnswer | undefined> {
    const { rights, store, metadata, changes } = this.#options;
    const key = { upstream, repository };
    const stamp = changes.stamp(repositoryText(key), digest);
    if (!rights.isLinked(key, digest, 'blob')) return undefined;
    const info = await look(this.#options, digest);
    if (info === undefined || info.isSuspect || (method === 'get' && info.sizeBytes > longestInMemory))
      return undefined;
    const bytes = method === 'get' ? await store.readAll(digest, longestInMemory) : undefined;
    if (method === 'get' && (bytes === undefined || digestOf(bytes, digestAlgorithm(digest)) !== digest))
      return undefined;
    metadata.blobs.touch(digest);
    return lease(
      { digest, sizeBytes: info.sizeBytes, bytes, mediaType: undefined },
      { stamp, freshMs: Infinity, ...(bytes === undefined && { longest: longestWithoutBytesMs }) },
    );
  }

  async #bring(query: BlobQuery, upstream: Upstream, signal: AbortSignal): Promise<BlobView> {
    const { rights } = this.#options;
    const { digest } = query;
    const key = { upstream: query.upstream, repository: query.repository };
    let needsBytes = false;
    if (!rights.isLinked(key, digest, 'blob') && (await this.#access.isElsewhere(query))) {
      // The bytes came, or are coming, through somebody else's repository: this one needs the upstream's own word.
      const info = await look(this.#options, digest);
      const isHere = info !== undefined && !info.isSuspect;
      if (!isHere || !this.#access.isForeign(key, digest)) {
        const isAnswered = await rights.ask(key, digest, 'blob', signal, query);
        if (isHere && (!isAnswered || rights.isLinked(key, digest, 'blob'))) return this.#hit(query, upstream, info);
        needsBytes = isHere;
      }
    }
    const { fills } = this.#options;
    const isFilling = fills.get(upstream.key, digest) !== undefined;
    if (query.method === 'head' && !isFilling) {
      const view = await this.#sizes.ask(query, upstream, signal);
      fills.sized(upstream.key, digest, view.sizeBytes);
      return view;
    }
    if (isFilling || !fills.isTooLarge(upstream.key, digest)) return this.#fill(query, upstream, signal, needsBytes);
    const { clock, events, onAsked } = this.#options;
    onAsked?.(query);
    const { repository, ranges, client = '' } = query;
    return openPassthrough({ upstream, digest, repository, client, clock, events, ranges }, signal);
  }

  /** `needsBytes`: what the upstream said of the blob that lies here proves nothing, so it has to send it. */
  async #fill(query: BlobQuery, upstream: Upstream, signal: AbortSignal, needsBytes = false): Promise<BlobView> {
    const { fills, rights } = this.#options;
    const { digest, repository } = query;
    const key = { upstream: upstream.key, repository };
    for (;;) {
      const firstRange = query.ranges && rangeAt(query.ranges, 0);
      const { fill, isNew } = fills.join({
        upstream,
        digest,
        repository,
        firstRange,
        isProof: needsBytes || this.#access.isForeign(key, digest),
      });
      this.#options.onAsked?.(query);
      if (fill.isEnding) {
        await abortable(fill.done, signal);
        continue;
      }
      // Somebody else's fill began between the question and the join.
      if (!isNew && !fill.sources.has(repository) && !this.#access.mayJoin(fill, key)) {
        await rights.ask(key, digest, 'blob', signal, query);
        if (!this.#access.mayJoin(fill, key)) throw unproved(key, digest);
        continue;
      }
      const leave = fill.attach(query.client ?? '');
      try {
        const head = await headOf(fill, repository, signal);
        if (head === undefined) {
          await abortable(fill.done, signal);
          continue;
        }
        // The bytes were there before this repository was asked about them: a partial, or somebody else's blob.
        if (head.kind !== 'bypass' && !this.#access.mayJoin(fill, key)) {
          await rights.ask(key, digest, 'blob', signal, query);
          if (head.kind === 'filling' && !this.#access.mayJoin(fill, key)) throw unproved(key, digest);
        }
        if (head.kind === 'stored' && !rights.isLinked(key, digest, 'blob')) {
          await abortable(fill.done, signal);
          if (!rights.isLinked(key, digest, 'blob') && !this.#access.isForeign(key, digest))
            throw unproved(key, digest);
          continue;
        }
        // It ended just now: what it left is in the store, or can be continued.
        if (head.kind === 'filling' && head.attempt.isReleased) {
          await abortable(fill.done, signal);
          continue;
        }
        if (head.kind !== 'stored') return await viewOf(this.#options, { query, fill, head, isNew }, signal);
        // Proved a moment ago, or found in the store by the fill's own look.
        return this.#hit(query, upstream, head.info);
      } finally {
        leave();
      }
    }
  }

  async #withDeadline<T>(
    query: BlobQuery,
    signal: AbortSignal,
    work: (limited: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const control = new AbortController();
    const isRange = query.ranges !== undefined;
    const { headTimeoutMs = defaultHeadTimeoutMs } = this.#policy(query.upstream);
    const deadlineMs = headTimeoutMs + momentMs;
    using _timer = this.#options.clock.setTimer(deadlineMs, () =>
      control.abort(
        new UpstreamError('timeout', `no answer within ${deadlineMs / 1000} s${isRange ? ' for this range' : ''}`, {
          upstream: query.upstream,
        }),
      ),
    );
    return await work(AbortSignal.any([signal, control.signal]));
  }

  #policy(upstream: string): UpstreamPolicy {
    const policy = this.#options.upstreams.get(upstream);
    if (policy === undefined) throw new CacheError('nameUnknown', upstream, `no upstream is named ${upstream}`);
    return policy;
  }
}

function negativeKey(key: RepositoryKey, digest: Digest): string {
  return `${key.upstream}/${key.repository}@${digest}`;
}
