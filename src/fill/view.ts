/** A blob that is being filled, as one client sees it. */
import { abortable } from '../lib/abort.ts';
import { hasher, digestAlgorithm } from '../oci/digest.ts';
import type { Repository } from '../oci/reference.ts';
import type { BlobReader, BlobView, BodySpan } from './contract/blob-view.ts';
import { BrokenBodyError } from './contract/errors.ts';
import type { CacheEvents } from './contract/events.ts';
import type { Clock } from '../lib/clock.ts';
import { Party } from '../lib/sharing/party.ts';
import { FillReader, isPart } from './readers/reader.ts';
import type { Fill } from './fill.ts';
import type { Attempt } from './attempt/attempt.ts';
import type { Outcome } from '../headers/cache-status.ts';
import { Sources } from './download/sources.ts';
import { TailReader } from './readers/passthrough-reader.ts';

export interface FillViewOptions {
  readonly fill: Fill;
  readonly attempt: Attempt;
  readonly repository: Repository;
  readonly outcome: Outcome;
  readonly client: string;
  readonly clock: Clock;
  readonly events: CacheEvents;
}

export class FillView implements BlobView {
  readonly digest;
  readonly sizeBytes: number | undefined;
  readonly outcome: Outcome;
  readonly #options: FillViewOptions;
  readonly #leave: () => void;
  #attempt: Attempt;
  #hasOpened = false;
  #isClosed = false;

  constructor(options: FillViewOptions) {
    const { fill, attempt, outcome, client } = options;
    this.#options = options;
    this.digest = fill.digest;
    this.sizeBytes = attempt.sizeBytes;
    this.outcome = outcome;
    this.#leave = fill.attach(client);
    this.#attempt = attempt;
    attempt.hold();
  }

  get isProved(): boolean {
    return this.#attempt.state === 'proved';
  }

  /** The store has stopped taking bytes of this one. */
  get isFrozen(): boolean {
    return this.#attempt.state === 'frozen';
  }

  async proved(signal: AbortSignal): Promise<void> {
    for (;;) {
      const attempt = this.#attempt;
      while (attempt.state === 'open') {
        const { sequence } = attempt.watermark;
        await attempt.watermark.changed(sequence, signal);
      }
      if (attempt.state === 'proved') return;
      if (!(await this.#movesOn(signal))) throw attempt.failure ?? new BrokenBodyError('the blob was not proved');
    }
  }

  async open(span: BodySpan, signal: AbortSignal): Promise<BlobReader> {
    const { fill, repository, events } = this.#options;
    if (this.#attempt.state === 'broken' && !(await this.#movesOn(signal))) {
      throw this.#attempt.failure ?? new BrokenBodyError('given up');
    }
    // All parts of one answer come from one attempt.
    const isFirst = !this.#hasOpened;
    this.#hasOpened = true;
    return new FillReader({
      attempt: this.#attempt,
      demand: fill.demand,
      span,
      declaredBytes: this.sizeBytes,
      repository,
      events,
      successor: (broken) => (isFirst ? fill.successor(broken) : undefined),
      openTail: (frozen, rest, position) => this.#openTail(frozen, rest, position),
    });
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#leave();
    this.#attempt.release();
  }

  /** To the attempt after a broken one, as long as nothing of that was given out. False when there is none. */
  async #movesOn(signal: AbortSignal): Promise<boolean> {
    const broken = this.#attempt;
    const next = this.#hasOpened ? undefined : this.#options.fill.successor(broken);
    if (next === undefined) return false;
    const attempt = await abortable(next, signal);
    if (this.#isClosed) throw new BrokenBodyError('the view was closed');
    attempt.hold();
    broken.release();
    this.#attempt = attempt;
    return true;
  }

  /** The rest of a span when the store takes no more: hashed from where the ingest's own hash stands, if it may be. */
  async #openTail(attempt: Attempt, span: BodySpan, position: number): Promise<TailReader> {
    const { fill, repository, clock, client, events } = this.#options;
    const { digest, upstream } = fill;
    const sizeBytes = this.sizeBytes;
    const source = new Sources({
      upstream,
      digest,
      clock,
      repository,
      party: new Party('normal', client),
      avoidEndpoints: fill.sources.avoidEndpoints,
      onAccept: (size) => size === undefined || sizeBytes === undefined || size === sizeBytes,
    });
    source.ignoresRange = fill.sources.ignoresRange;
    source.start();
    const options = { source, span, digest, sizeBytes, events };
    if (isPart(span, sizeBytes)) return new TailReader({ ...options, from: position, hash: undefined });
    if (position !== attempt.pieces.frontier) {
      return new TailReader({ ...options, from: 0, hash: hasher(digestAlgorithm(digest)) });
    }
    return new TailReader({ ...options, from: position, hash: await attempt.hashUpTo(position) });
  }
}
