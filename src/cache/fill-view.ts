/** A blob that is being filled, as one client sees it. */
import { hasher, digestAlgorithm } from '../oci/digest.ts';
import type { Repository } from '../oci/reference.ts';
import type { BlobReader, BlobView, BodySpan } from './answers.ts';
import { BrokenBodyError } from './errors.ts';
import type { CacheEvents } from './events.ts';
import type { Clock } from '../lib/clock.ts';
import { FillReader, isShortRange } from './fill-reader.ts';
import type { Fill } from './fill.ts';
import type { Generation } from './generation.ts';
import type { Outcome } from './outcome.ts';
import { Sources } from './sources.ts';
import { TailReader } from './tail-reader.ts';

export interface FillViewOptions {
  readonly fill: Fill;
  readonly generation: Generation;
  readonly repository: Repository;
  readonly outcome: Outcome;
  readonly clock: Clock;
  readonly events: CacheEvents;
}

export class FillView implements BlobView {
  readonly digest;
  readonly sizeBytes: number | undefined;
  readonly outcome: Outcome;
  readonly #options: FillViewOptions;
  readonly #leave: () => void;
  #isClosed = false;

  constructor(options: FillViewOptions) {
    const { fill, generation, outcome } = options;
    this.#options = options;
    this.digest = fill.digest;
    this.sizeBytes = generation.sizeBytes;
    this.outcome = outcome;
    this.#leave = fill.attach();
    generation.hold();
  }

  get isProved(): boolean {
    return this.#options.generation.state === 'proved';
  }

  /** The store has stopped taking bytes of this one. */
  get isFrozen(): boolean {
    return this.#options.generation.state === 'frozen';
  }

  async proved(signal: AbortSignal): Promise<void> {
    const { generation } = this.#options;
    while (generation.state === 'open') {
      const { sequence } = generation.watermark;
      await generation.watermark.changed(sequence, signal);
    }
    if (generation.state !== 'proved') throw generation.failure ?? new BrokenBodyError('the blob was not proved');
  }

  open(span: BodySpan): Promise<BlobReader> {
    const { fill, generation, repository, events } = this.#options;
    if (generation.state === 'broken') return Promise.reject(generation.failure ?? new BrokenBodyError('given up'));
    return Promise.resolve(
      new FillReader({
        generation,
        wants: fill.wants,
        span,
        declaredBytes: this.sizeBytes,
        repository,
        events,
        successor: (broken) => fill.successor(broken),
        openTail: (frozen, rest, position) => this.#openTail(frozen, rest, position),
      }),
    );
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#leave();
    this.#options.generation.release();
  }

  /** The rest of a span when the store takes no more: hashed from where the spool's own hash stands, if it may be. */
  async #openTail(generation: Generation, span: BodySpan, position: number): Promise<TailReader> {
    const { fill, repository, clock } = this.#options;
    const { digest, upstream } = fill;
    const sizeBytes = this.sizeBytes;
    const source = new Sources({
      upstream,
      digest,
      clock,
      repository,
      avoidEndpoints: fill.sources.avoidEndpoints,
      onAccept: (_, size) => size === undefined || sizeBytes === undefined || size === sizeBytes,
    });
    source.ignoresRange = fill.sources.ignoresRange;
    source.start();
    const options = { source, span, digest, sizeBytes };
    if (isShortRange(span, sizeBytes)) return new TailReader({ ...options, from: position, hash: undefined });
    if (position !== generation.pieces.frontier) {
      return new TailReader({ ...options, from: 0, hash: hasher(digestAlgorithm(digest)) });
    }
    return new TailReader({ ...options, from: position, hash: await generation.hashUpTo(position) });
  }
}
