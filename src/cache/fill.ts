/**
 * Brings one digest from one upstream into the store, for everybody who asks for it meanwhile. It belongs to no client:
 * its own AbortController stops it, a client's signal only detaches that client.
 */
import type { Timer } from '../lib/clock.ts';
import type { Repository } from '../oci/reference.ts';
import type { RequestRange } from '../oci/range.ts';
import { type Digest } from '../oci/digest.ts';
import { type BlobInfo, StoreError } from '../store/blob-store.ts';
import { UpstreamError } from '../upstream/errors.ts';
import type { Upstream } from '../upstream/upstream.ts';
import { BrokenBodyError, CacheError } from './errors.ts';
import type { FillResult } from './events.ts';
import type { FillContext } from './fill-context.ts';
import { Generation } from './generation.ts';
import { Movers } from './movers.ts';
import { Sources } from './sources.ts';
import type { Lease } from './space.ts';
import { type Spool, ingestSpool, suspectSpool } from './spool.ts';
import { Waiting } from './waiting.ts';
import { Wants } from './wants.ts';

/** How long a fill without clients goes on where partials are kept, and how much it finishes all the same. */
const lingerMs = 30_000;
const finishBelowBytes = 64 * 1024 * 1024;

/** What those who wait for the head of a fill get. */
export type FillHead =
  /** The blob is, or was all the time, in the store. */
  | { readonly kind: 'stored'; readonly info: BlobInfo }
  /** The bytes come; `generation` is where. */
  | { readonly kind: 'filling'; readonly generation: Generation }
  /** The store cannot take it: everybody for himself. */
  | { readonly kind: 'bypass' };

export interface FillOptions {
  readonly digest: Digest;
  readonly upstream: Upstream;
  readonly repository: Repository;
  /** What the first client asked for; undefined for everything. */
  readonly opening: RequestRange | undefined;
  readonly avoidEndpoints: Iterable<string>;
  /** The upstream sent other bytes than it was asked for. */
  readonly onMismatch: (endpoints: Iterable<string>) => void;
}

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
  readonly #head = new Waiting<FillHead>();
  readonly #lease: Lease;
  readonly #successors = new WeakMap<Generation, Promise<Generation>>();
  #generation: Generation | undefined;
  #successor: PromiseWithResolvers<Generation> | undefined;
  #attached = 0;
  #linger: Timer | undefined;

  constructor(context: FillContext, options: FillOptions) {
    const { digest, upstream, repository, avoidEndpoints } = options;
    this.#context = context;
    this.#options = options;
    this.digest = digest;
    this.upstream = upstream;
    this.#lease = context.space.lease();
    this.sources = new Sources({
      upstream,
      digest,
      clock: context.clock,
      repository,
      avoidEndpoints,
      onAccept: (from, sizeBytes) => this.#accept(from, sizeBytes),
      onRefused: (from, error) => this.#head.reject(error, from),
      onResumed: () => context.events.fillResumed({ upstream: upstream.key }),
    });
    context.events.fillStarted({ upstream: upstream.key });
    this.done = this.#run();
  }

  get isStopping(): boolean {
    return this.#control.signal.aborted;
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
    return this.#head.wait(repository, signal);
  }

  /** The generation that follows a broken one; undefined when none does. Rejects when it fails to come up. */
  successor(broken: Generation): Promise<Generation> | undefined {
    return this.#successors.get(broken);
  }

  /** Counts a client until the returned function is called (once or more often). */
  attach(): () => void {
    this.#attached += 1;
    this.#linger?.cancel();
    let isAttached = true;
    return () => {
      if (!isAttached) return;
      isAttached = false;
      this.#attached -= 1;
      if (this.#attached === 0) this.#abandoned();
    };
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
      if (this.isStopping) result = 'abandoned';
      else if (error instanceof CacheError) result = 'mismatch';
      else if (!(error instanceof UpstreamError)) logger.error({ err: error, digest: this.digest }, 'a fill failed');
      this.#successor?.reject(failure);
      this.#head.reject(failure);
    } finally {
      this.#linger?.cancel();
      this.#lease.release();
      this.#generation?.release();
      events.fillEnded({ upstream: this.upstream.key, result });
    }
    return result;
  }

  async #bring(): Promise<FillResult> {
    const { store } = this.#context;
    const suspect = await suspectSpool(store, this.digest);
    const stored = suspect === undefined ? await store.stat(this.digest) : undefined;
    if (stored !== undefined) {
      this.#head.resolve({ kind: 'stored', info: stored });
      return 'stored';
    }
    let spool = suspect ?? (await this.#openSpool(true));
    for (;;) {
      if (spool === undefined) {
        this.#head.resolve({ kind: 'bypass' });
        return 'bypassed';
      }
      const generation = await this.#begin(spool);
      const result = await this.#bringGeneration(generation);
      if (result !== 'again') return result;
      spool = await this.#openSpool(false);
    }
  }

  async #bringGeneration(generation: Generation): Promise<FillResult | 'again'> {
    const { digest } = this;
    // Bytes of more than one transfer were put together; alone among mismatches that is worth a second try.
    const isMixed = (): boolean => generation.isResumed || this.sources.resumes > 0;
    try {
      await this.#transfer(generation);
      if (generation.state === 'frozen') return await this.#outlive(generation);
      await hashed(generation, this.#control.signal);
    } catch (error) {
      await this.#giveUp(generation, error);
      throw error;
    }
    const found = generation.hashedDigest();
    if (found === digest) return this.#adopt(generation);
    const mismatch = new CacheError(
      'mismatch',
      this.upstream.key,
      `${digest} was asked for, and the bytes are ${found}`,
    );
    this.#context.events.rejected({ reason: 'digest-mismatch' });
    this.#context.logger.warn({ digest, found, upstream: this.upstream.key }, 'the upstream sent other bytes');
    this.#options.onMismatch(this.sources.usedEndpoints);
    const isWorthAnother = isMixed();
    if (isWorthAnother) this.#announceSuccessor(generation);
    generation.break(new BrokenBodyError(mismatch.message, { cause: mismatch }));
    await generation.settle();
    await generation.spool.abort(mismatch.message);
    if (!isWorthAnother) throw mismatch;
    generation.release();
    this.#generation = undefined;
    this.sources.resetResumes();
    return 'again';
  }

  #announceSuccessor(broken: Generation): void {
    const successor = Promise.withResolvers<Generation>();
    // Nobody may be waiting for it; then its failure is the fill's, which is reported elsewhere.
    successor.promise.catch(() => undefined);
    this.#successors.set(broken, successor.promise);
    this.#successor = successor;
  }

  async #begin(spool: Spool): Promise<Generation> {
    const { clock, logger, hashTurns } = this.#context;
    const file = await spool.openReader();
    const generation = new Generation({ digest: this.digest, spool, file, clock, logger, hashTurns });
    this.#generation = generation;
    this.#successor?.resolve(generation);
    this.#successor = undefined;
    if (generation.isResumed) {
      this.sources.start();
      if (generation.sizeBytes !== undefined) this.#head.resolve({ kind: 'filling', generation });
    }
    return generation;
  }

  /** Undefined when the store cannot take anything now. */
  async #openSpool(mayResume: boolean): Promise<Spool | undefined> {
    const { store, logger } = this.#context;
    const key = { digest: this.digest, upstream: this.upstream.key };
    try {
      const resumed = mayResume ? await store.resumeIngest(key) : undefined;
      return ingestSpool(resumed ?? (await store.createIngest(key)));
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      logger.warn({ err: error, digest: this.digest }, 'the store takes nothing; passing the blob through');
      return undefined;
    }
  }

  /** Resolves when all bytes are written, or the store takes no more (the generation is frozen then). */
  async #transfer(generation: Generation): Promise<void> {
    if (generation.pieces.isComplete) return;
    const { wants, sources: source } = this;
    const movers = new Movers({ generation, source, lease: this.#lease, wants, opening: this.#options.opening });
    try {
      await movers.run(this.#control.signal);
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      this.#context.logger.warn(
        { err: error, digest: this.digest },
        'the store takes no more; passing the rest through',
      );
      generation.freeze();
      this.#head.resolve({ kind: 'filling', generation });
    }
  }

  async #adopt(generation: Generation): Promise<FillResult> {
    // Readers first: their bytes are right, and durability is not their problem.
    generation.prove();
    this.#head.resolve({ kind: 'filling', generation });
    await generation.settle();
    try {
      await generation.spool.adopt(generation.sizeBytes ?? 0);
      return 'stored';
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      this.#context.logger.warn({ err: error, digest: this.digest }, 'a proved blob could not be stored');
      return 'bypassed';
    }
  }

  /** A frozen generation has given its readers what it can; nobody new joins it. */
  async #outlive(generation: Generation): Promise<FillResult> {
    await generation.settle();
    await generation.spool.abort('the store takes no more');
    return 'bypassed';
  }

  async #giveUp(generation: Generation, error: unknown): Promise<void> {
    generation.break(new BrokenBodyError(`the transfer of ${this.digest} was given up`, { cause: error }));
    await generation.settle();
    const { pieces, spool } = generation;
    try {
      if (pieces.writtenBytes > 0) await spool.keep(pieces.written(), pieces.sizeBytes);
      else await spool.abort('nothing was written');
    } catch (failure) {
      // The fill has failed already for another reason, which is the one to report.
      this.#context.logger.warn({ err: failure, digest: this.digest }, 'a partial could not be kept');
    }
  }

  /** The last client has left. With `keep`, the fill stops after a while, unless little is left to bring. */
  #abandoned(): void {
    if (this.#context.onAbandon === 'finish') return;
    this.#linger = this.#context.clock.setTimer(lingerMs, () => {
      const left = this.leftBytes;
      if (this.#attached === 0 && (left === undefined || left > finishBelowBytes)) {
        this.stop(new BrokenBodyError('nobody waits for it any more'));
      }
    });
  }

  #accept(repository: Repository, sizeBytes: number | undefined): boolean {
    const generation = this.#generation;
    if (generation === undefined) return false;
    const known = generation.sizeBytes;
    if (known !== undefined && sizeBytes !== undefined && known !== sizeBytes) {
      this.#context.events.rejected({ reason: 'size-contradiction' });
      return false;
    }
    // Larger than the whole cache: the first write will find no room, and everybody gets a transfer of his own.
    if (sizeBytes !== undefined && this.#context.space.isTooLarge(sizeBytes)) this.#lease.refuse();
    if (known === undefined && sizeBytes !== undefined) generation.setSize(sizeBytes);
    this.#context.catalog.addLink({ upstream: this.upstream.key, repository }, this.digest, 'blob');
    this.#head.resolve({ kind: 'filling', generation });
    return true;
  }
}

async function hashed(generation: Generation, signal: AbortSignal): Promise<void> {
  while (!generation.isHashed) {
    const { sequence } = generation.watermark;
    if (generation.state !== 'open') throw generation.failure ?? new BrokenBodyError('the generation was given up');
    await generation.watermark.changed(sequence, signal);
  }
}
