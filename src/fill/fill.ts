/**
 * Brings one digest from one upstream into the store, for everybody who asks for it meanwhile. It belongs to no client:
 * its own AbortController stops it, a client's signal only detaches that client.
 */
import type { Repository } from '../oci/reference.ts';
import type { Digest } from '../oci/digest.ts';
import { UpstreamError } from '../upstream/contract/errors.ts';
import type { Upstream } from '../upstream/contract/upstream.ts';
import { Audience } from './audience.ts';
import { runAttempt } from './run-attempt.ts';
import { BrokenBodyError, CacheError } from './contract/errors.ts';
import type { FillResult } from './contract/events.ts';
import type { FillContext } from './context.ts';
import { Attempt } from './attempt/attempt.ts';
import { look } from './contract/look.ts';
import { Sources } from './download/sources.ts';
import type { Reservation } from './space/reservation.ts';
import type { FillOptions } from './options.ts';
import type { Ingest } from '../store/contract/blob-store.ts';
import { openIngest, readerOf, suspectIngest } from './attempt/ingest.ts';
import { type FillHead, Attempts } from './attempts.ts';
import { Demand } from './attempt/demand.ts';

export class Fill {
  readonly digest: Digest;
  readonly upstream: Upstream;
  readonly demand = new Demand();
  readonly sources: Sources;
  /** Resolves when the fill has ended and the store has what it takes of it. Never rejects. */
  readonly done: Promise<FillResult>;
  readonly #context: FillContext;
  readonly #options: FillOptions;
  readonly #control = new AbortController();
  readonly #attempts = new Attempts();
  readonly #reservation: Reservation;
  readonly #audience: Audience;
  #attempt: Attempt | undefined;
  #hasFollowed = false;

  constructor(context: FillContext, options: FillOptions) {
    const { digest, upstream, repository, avoidEndpoints, prefetch, deserted } = options;
    this.#context = context;
    this.#options = options;
    this.digest = digest;
    this.upstream = upstream;
    const { clock, onAbandon } = context;
    const reservation = context.space.reserve(prefetch?.sparesSinceMs);
    this.#reservation = reservation;
    this.#audience = new Audience({
      clock,
      reservation,
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
      party: this.#audience.party,
      avoidEndpoints,
      onAccept: (sizeBytes) => this.#accept(sizeBytes),
      onRefused: (from, error) => this.#attempts.head.reject(error, from),
      onResumed: () => context.events.fillResumed({ upstream: upstream.key }),
    });
    context.events.fillStarted({ upstream: upstream.key });
    this.done = this.#run();
  }

  /** No client should join any more: `done` comes first, and what is there then can be continued. */
  get isEnding(): boolean {
    const isGivenUp = this.#attempt?.state === 'broken' && !this.#attempts.isAwaited;
    return this.#control.signal.aborted || isGivenUp || this.sources.isExhausted;
  }

  /** It was begun for nobody, so that what it failed for says little about a request of one's own. */
  get wasPrefetch(): boolean {
    return this.#options.prefetch !== undefined;
  }

  /** Bytes that are still to come; undefined while the size is unknown. */
  get leftBytes(): number | undefined {
    const pieces = this.#attempt?.pieces;
    return pieces?.sizeBytes === undefined ? undefined : pieces.sizeBytes - pieces.writtenBytes;
  }

  /**
   * Resolves as soon as a client of `repository` can be answered: size known or known to be unknown. Rejects with that
   * repository's refusal, with whatever ended the fill, or with the signal's reason.
   */
  head(repository: Repository, signal: AbortSignal): Promise<FillHead> {
    this.sources.add(repository);
    return this.#attempts.head.wait(repository, signal);
  }

  /** The attempt that follows a broken one; undefined when none does. Rejects when it fails to come up. */
  successor(broken: Attempt): Promise<Attempt> | undefined {
    return this.#attempts.of(broken);
  }

  /** The store does not take it: who follows it gets what is there, and the rest by a transfer of his own. */
  get isPassedThrough(): boolean {
    return this.#reservation.isRefused || this.#attempt?.state === 'frozen';
  }

  /** It waits for its first transfer. */
  get isQueued(): boolean {
    return this.#audience.isQueued;
  }

  /** Counts one of `client` until the returned function is called (once or more often). */
  attach(client: string): () => void {
    return this.#audience.attach(client);
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
      this.#attempts.head.reject(failure);
    } finally {
      this.#attempts.end(new BrokenBodyError('nothing follows what was given up'));
      this.#audience.close();
      this.sources.release();
      this.#reservation.release();
      this.#attempt?.release();
      events.fillEnded({ upstream: this.upstream.key, result });
    }
    return result;
  }

  async #bring(): Promise<FillResult> {
    const key = { digest: this.digest, upstream: this.upstream.key };
    const info = this.#options.isProof === true ? undefined : await look(this.#context, this.digest);
    if (info !== undefined && !info.isSuspect) {
      this.#attempts.head.resolve({ kind: 'stored', info });
      return 'stored';
    }
    // No file before there is leave to use it.
    if (info === undefined) await this.sources.reserve(this.#control.signal);
    using _proof = info && (await this.#context.proofs.acquire({ party: this.#audience.party }, this.#control.signal));
    this.#audience.begin();
    let ingest = info && suspectIngest(this.#context, info, key);
    ingest ??= await openIngest(this.#context, key, { mayResume: true });
    for (;;) {
      const attempt = ingest && (await this.#begin(ingest));
      if (attempt === undefined) {
        this.#attempts.head.resolve({ kind: 'bypass' });
        return 'bypassed';
      }
      const result = await this.#runAttempt(attempt);
      if (result !== 'again') return result;
      ingest = await openIngest(this.#context, key, { mayResume: false });
    }
  }

  async #runAttempt(attempt: Attempt): Promise<FillResult | 'again'> {
    const { digest, sources, demand, upstream } = this;
    const outcome = await runAttempt({
      context: this.#context,
      attempt,
      digest,
      sources,
      demand,
      reservation: this.#reservation,
      firstRange: this.#options.firstRange,
      isAttended: () => this.#audience.isAttended,
      isCautious: this.#hasFollowed,
      signal: this.#control.signal,
      onReadable: () => this.#attempts.head.resolve({ kind: 'filling', attempt }),
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
    const isMixed = attempt.isResumed || sources.resumes > 0 || sources.isPieced;
    const isWorthAnother = !this.#hasFollowed && isMixed;
    if (isWorthAnother) this.#attempts.announce(attempt);
    attempt.break(new BrokenBodyError(text, { cause: mismatch }));
    await attempt.settle();
    await attempt.ingest.abort(text);
    if (!isWorthAnother) throw mismatch;
    attempt.release();
    this.#attempt = undefined;
    this.#hasFollowed = true;
    sources.distrustUsed();
    return 'again';
  }

  /** Undefined when the ingest cannot be read, which is put away then. */
  async #begin(ingest: Ingest): Promise<Attempt | undefined> {
    const { clock, logger, hashTurns } = this.#context;
    const file = await readerOf(ingest, logger);
    if (file === undefined) return undefined;
    const workers = ingest.path === undefined ? undefined : this.#context.workers?.pick();
    const attempt = new Attempt({ digest: this.digest, ingest, file, clock, logger, hashTurns, workers });
    this.#attempt = attempt;
    this.#attempts.begin(attempt);
    if (attempt.isResumed) {
      this.sources.start();
      if (attempt.sizeBytes !== undefined) this.#attempts.head.resolve({ kind: 'filling', attempt });
    }
    return attempt;
  }

  #accept(sizeBytes: number | undefined): boolean {
    const attempt = this.#attempt;
    if (attempt === undefined) return false;
    const known = attempt.sizeBytes;
    const { reach } = attempt.pieces;
    attempt.isContradicted = sizeBytes !== undefined && (known === undefined ? sizeBytes < reach : sizeBytes !== known);
    if (attempt.isContradicted) {
      this.#context.events.rejected({ reason: 'size-contradiction' });
      return false;
    }
    if (this.#audience.exceedsClaim(sizeBytes)) {
      this.stop(new BrokenBodyError('it is larger than its manifest says'));
      return false;
    }
    // Larger than the whole cache: the first write will find no room, and everybody gets a transfer of his own.
    if (sizeBytes !== undefined && this.#context.space.isTooLarge(sizeBytes)) this.#reservation.refuse();
    if (known === undefined && sizeBytes !== undefined) attempt.setSize(sizeBytes);
    this.#attempts.head.resolve({ kind: 'filling', attempt });
    return true;
  }
}
