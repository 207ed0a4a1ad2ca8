/**
 * Brings one digest from one upstream into the store, for everybody who asks for it meanwhile. It belongs to no client:
 * its own AbortController stops it, a client's signal only detaches that client.
 */
import type { Repository } from '../oci/reference.ts';
import type { Digest } from '../oci/digest.ts';
import { UpstreamError } from '../upstream/contract/errors.ts';
import type { Upstream } from '../upstream/contract/upstream.ts';
import { Attendance } from './audience.ts';
import { bringGeneration } from './run-attempt.ts';
import { BrokenBodyError, CacheError } from './contract/errors.ts';
import type { FillResult } from './contract/events.ts';
import type { FillContext } from './context.ts';
import { Generation } from './attempt/attempt.ts';
import { look } from './contract/look.ts';
import { Sources } from './download/sources.ts';
import type { Allotment } from './space/reservation.ts';
import type { FillOptions } from './options.ts';
import type { Ingest } from '../store/contract/blob-store.ts';
import { openIngest, readerOf, suspectIngest } from './attempt/ingest.ts';
import { type FillHead, Succession } from './attempts.ts';
import { Wants } from './attempt/demand.ts';

export class Fill {
  readonly digest: Digest;
  readonly upstream: Upstream;
  readonly wants = new Wants();
  readonly sources: Sources;
  /** Resolves when the fill has ended and the store has what it takes of it. Never rejects. */
  readonly done: Promise<FillResult>;
  readonly #context: FillContext;
  readonly #options: FillOptions;
  readonly #control = new AbortController();
  readonly #succession = new Succession();
  readonly #allotment: Allotment;
  readonly #attendance: Attendance;
  #generation: Generation | undefined;
  #hasFollowed = false;

  constructor(context: FillContext, options: FillOptions) {
    const { digest, upstream, repository, avoidEndpoints, prefetch, deserted } = options;
    this.#context = context;
    this.#options = options;
    this.digest = digest;
    this.upstream = upstream;
    const { clock, onAbandon } = context;
    const allotment = context.space.allot(prefetch?.sparesSinceMs);
    this.#allotment = allotment;
    this.#attendance = new Attendance({
      clock,
      allotment,
      prefetch,
      deserted,
      onAbandon,
      leftBytes: () => this.leftBytes,
      stop: () => this.stop(new BrokenBodyError('nobody waits for it')),
    });
    this.sources = new Sources({
      upstream,
      digest,
      clock,
      repository,
      party: this.#attendance.party,
      avoidEndpoints,
      onAccept: (sizeBytes) => this.#accept(sizeBytes),
      onRefused: (from, error) => this.#succession.head.reject(error, from),
      onResumed: () => context.events.fillResumed({ upstream: upstream.key }),
    });
    context.events.fillStarted({ upstream: upstream.key });
    this.done = this.#run();
  }

  /** No client should join any more: `done` comes first, and what is there then can be continued. */
  get isEnding(): boolean {
    const isGivenUp = this.#generation?.state === 'broken' && !this.#succession.isAwaited;
    return this.#control.signal.aborted || isGivenUp || this.sources.isExhausted;
  }

  /** It was begun for nobody, so that what it failed for says little about a request of one's own. */
  get wasPrefetch(): boolean {
    return this.#options.prefetch !== undefined;
  }

  /** Bytes that are still to come; undefined while the size is unknown. */
  get leftBytes(): number | undefined {
    const pieces = this.#generation?.pieces;
    return pieces?.sizeBytes === undefined ? undefined : pieces.sizeBytes - pieces.writtenBytes;
  }

  /**
   * Resolves as soon as a client of `repository` can be answered: size known or known to be unknown. Rejects with that
   * repository's refusal, with whatever ended the fill, or with the signal's reason.
   */
  head(repository: Repository, signal: AbortSignal): Promise<FillHead> {
    this.sources.add(repository);
    return this.#succession.head.wait(repository, signal);
  }

  /** The generation that follows a broken one; undefined when none does. Rejects when it fails to come up. */
  successor(broken: Generation): Promise<Generation> | undefined {
    return this.#succession.of(broken);
  }

  /** The store does not take it: who follows it gets what is there, and the rest by a transfer of his own. */
  get isPassedThrough(): boolean {
    return this.#allotment.isRefused || this.#generation?.state === 'frozen';
  }

  /** It waits for its first transfer. */
  get isQueued(): boolean {
    return this.#attendance.isQueued;
  }

  /** Counts one of `client` until the returned function is called (once or more often). */
  attach(client: string): () => void {
    return this.#attendance.attach(client);
  }

  /** Stops bringing bytes; what is there stays as a partial. Idempotent. */
  stop(reason: Error): void {
    this.#control.abort(reason);
  }

  async #run(): Promise<FillResult> {
    const { events, logger } = this.#context;
    let result: FillResult = 'failed';
    try {
      result = await this.#bring();
    } catch (error) {
      const failure = error instanceof Error ? error : new Error('the fill failed', { cause: error });
      if (this.#control.signal.aborted) result = 'abandoned';
      else if (error instanceof CacheError) result = 'mismatch';
      else if (!(error instanceof UpstreamError)) logger.error({ err: error, digest: this.digest }, 'a fill failed');
      this.#succession.head.reject(failure);
    } finally {
      this.#succession.end(new BrokenBodyError('nothing follows what was given up'));
      this.#attendance.close();
      this.sources.release();
      this.#allotment.release();
      this.#generation?.release();
      events.fillEnded({ upstream: this.upstream.key, result });
    }
    return result;
  }

  async #bring(): Promise<FillResult> {
    const key = { digest: this.digest, upstream: this.upstream.key };
    const info = this.#options.isProof === true ? undefined : await look(this.#context, this.digest);
    if (info !== undefined && !info.isSuspect) {
      this.#succession.head.resolve({ kind: 'stored', info });
      return 'stored';
    }
    // No file before there is leave to use it.
    if (info === undefined) await this.sources.reserve(this.#control.signal);
    using _proof =
      info && (await this.#context.proofs.acquire({ party: this.#attendance.party }, this.#control.signal));
    this.#attendance.begin();
    let ingest = info && suspectIngest(this.#context, info, key);
    ingest ??= await openIngest(this.#context, key, { mayResume: true });
    for (;;) {
      const generation = ingest && (await this.#begin(ingest));
      if (generation === undefined) {
        this.#succession.head.resolve({ kind: 'bypass' });
        return 'bypassed';
      }
      const result = await this.#bringGeneration(generation);
      if (result !== 'again') return result;
      ingest = await openIngest(this.#context, key, { mayResume: false });
    }
  }

  async #bringGeneration(generation: Generation): Promise<FillResult | 'again'> {
    const { digest, sources, wants, upstream } = this;
    const outcome = await bringGeneration({
      context: this.#context,
      generation,
      digest,
      sources,
      wants,
      allotment: this.#allotment,
      opening: this.#options.opening,
      isAttended: () => this.#attendance.isAttended,
      isCautious: this.#hasFollowed,
      signal: this.#control.signal,
      onReadable: () => this.#succession.head.resolve({ kind: 'filling', generation }),
    });
    if (outcome.kind === 'ended' && outcome.result === 'stored') sources.link(this.#context.rights);
    if (outcome.kind === 'ended') return outcome.result;
    const text = `${digest} was asked for, and the bytes are ${outcome.found}`;
    const mismatch = new CacheError('mismatch', upstream.key, text);
    this.#context.events.rejected({ reason: 'digest-mismatch' });
    this.#context.logger.warn(
      { digest, found: outcome.found, upstream: upstream.key },
      'the upstream sent other bytes',
    );
    this.#options.onMismatch(sources.usedEndpoints);
    // Bytes of more than one transfer were put together; alone among mismatches that is worth a second try, and only one.
    const isMixed = generation.isResumed || sources.resumes > 0 || sources.isPieced;
    const isWorthAnother = !this.#hasFollowed && isMixed;
    if (isWorthAnother) this.#succession.announce(generation);
    generation.break(new BrokenBodyError(text, { cause: mismatch }));
    await generation.settle();
    await generation.ingest.abort(text);
    if (!isWorthAnother) throw mismatch;
    generation.release();
    this.#generation = undefined;
    this.#hasFollowed = true;
    sources.distrustUsed();
    return 'again';
  }

  /** Undefined when the ingest cannot be read, which is put away then. */
  async #begin(ingest: Ingest): Promise<Generation | undefined> {
    const { clock, logger, hashTurns } = this.#context;
    const file = await readerOf(ingest, logger);
    if (file === undefined) return undefined;
    const movers = ingest.path === undefined ? undefined : this.#context.movers?.pick();
    const generation = new Generation({ digest: this.digest, ingest, file, clock, logger, hashTurns, movers });
    this.#generation = generation;
    this.#succession.begin(generation);
    if (generation.isResumed) {
      this.sources.start();
      if (generation.sizeBytes !== undefined) this.#succession.head.resolve({ kind: 'filling', generation });
    }
    return generation;
  }

  #accept(sizeBytes: number | undefined): boolean {
    const generation = this.#generation;
    if (generation === undefined) return false;
    const known = generation.sizeBytes;
    const { reach } = generation.pieces;
    generation.isContradicted =
      sizeBytes !== undefined && (known === undefined ? sizeBytes < reach : sizeBytes !== known);
    if (generation.isContradicted) {
      this.#context.events.rejected({ reason: 'size-contradiction' });
      return false;
    }
    if (this.#attendance.exceedsClaim(sizeBytes)) {
      this.stop(new BrokenBodyError('it is larger than its manifest says'));
      return false;
    }
    // Larger than the whole cache: the first write will find no room, and everybody gets a transfer of his own.
    if (sizeBytes !== undefined && this.#context.space.isTooLarge(sizeBytes)) this.#allotment.refuse();
    if (known === undefined && sizeBytes !== undefined) generation.setSize(sizeBytes);
    this.#succession.head.resolve({ kind: 'filling', generation });
    return true;
  }
}
