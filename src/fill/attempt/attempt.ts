/**
 * One attempt to bring a digest: one part file, one piece map, one hash. An attempt is never rewound: when its bytes
 * turn out wrong it is given up, and the next one is a new file, so that a reader can never see a mix of two.
 */
import { type Digest, type Hasher, digestAlgorithm } from '../../oci/digest.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Logger } from '../../lib/log.ts';
import type { Semaphore } from '../../lib/semaphore.ts';
import { Watermark } from '../../lib/watermark.ts';
import type { Ingest, PositionalReader } from '../../store/contract/blob-store.ts';
import { BrokenBodyError } from '../contract/errors.ts';
import type { WorkerPair } from '../worker/pool.ts';
import { PieceMap } from './pieces.ts';
import type { WorkerFile } from './worker-file.ts';
import { FileHash } from './hash.ts';

/**
 * `open`: bytes may still come · `proved`: digest and size are right · `frozen`: the store takes no more, what is written
 * stays readable · `broken`: given up.
 */
export type AttemptState = 'open' | 'proved' | 'frozen' | 'broken';

/** How far readers of whole bodies may run ahead of the hash. */
const maxUnhashedBytes = 256 * 1024 * 1024;
/** A prefix is made durable at least this often while it grows. */
const syncEveryBytes = 32 * 1024 * 1024;
const syncEveryMs = 2000;

export interface AttemptOptions {
  readonly digest: Digest;
  readonly ingest: Ingest;
  readonly file: PositionalReader & { close(): Promise<void> };
  readonly clock: Clock;
  readonly logger: Logger;
  readonly hashTurns: Semaphore;
  /** Threads that hash the ingest and write to it; undefined: all is done here. */
  readonly workers?: WorkerPair | undefined;
}

export class Attempt {
  readonly ingest: Ingest;
  readonly pieces: PieceMap;
  /** Position: the contiguous prefix. Also woken by everything else that a reader may wait for. */
  readonly watermark = new Watermark();
  readonly #options: AttemptOptions;
  readonly #hash: FileHash;
  readonly #resumedBytes: number;
  /** The upstream's last word about the size does not agree with what is here: nothing will ever complete this. */
  isContradicted = false;
  #state: AttemptState = 'open';
  #failure: Error | undefined;
  #holds = 1;
  #onReleased: () => void = () => undefined;
  #syncedBytes = 0;
  #syncedAtMs: number;
  #syncing: Promise<void> | undefined;

  constructor(options: AttemptOptions) {
    const { ingest, digest, file, hashTurns, clock, workers } = options;
    this.#options = options;
    this.ingest = ingest;
    this.pieces = new PieceMap(ingest.resumed, ingest.claimedSizeBytes);
    this.#resumedBytes = this.pieces.writtenBytes;
    this.#syncedBytes = this.#resumedBytes;
    this.#syncedAtMs = clock.monotonic();
    const { path } = ingest;
    this.#hash = new FileHash({
      algorithm: digestAlgorithm(digest),
      file,
      turns: hashTurns,
      isLive: this.#resumedBytes === 0,
      written: ingest.resumed,
      remote:
        workers === undefined || path === undefined
          ? undefined
          : { ...workers, path, isStored: ingest.isStored === true },
      onProgress: () => this.#progress(),
      onError: (error) => this.break(new BrokenBodyError('the ingest cannot be read back', { cause: error })),
    });
    this.watermark.advance(this.pieces.frontier);
    this.#hash.follow(this.pieces.frontier);
  }

  get digest(): Digest {
    return this.#options.digest;
  }

  get clock(): Clock {
    return this.#options.clock;
  }

  /** Where a thread can write to the ingest; undefined when only this one can. */
  get remote(): WorkerFile | undefined {
    return this.#hash.remote;
  }

  get file(): PositionalReader {
    return this.#options.file;
  }

  get state(): AttemptState {
    return this.#state;
  }

  get failure(): Error | undefined {
    return this.#failure;
  }

  get sizeBytes(): number | undefined {
    return this.pieces.sizeBytes;
  }

  /** It continues a partial, or re-proves a file: bytes were there before anything was asked. */
  get isResumed(): boolean {
    return this.#resumedBytes > 0;
  }

  /** Everything is written and hashed. */
  get isHashed(): boolean {
    return this.pieces.isComplete && this.#hash.position === this.pieces.sizeBytes;
  }

  /** The digest of what is hashed so far. Undefined when the thread that knew it has died: it is hashed again. */
  hashedDigest(): Promise<Digest | undefined> {
    return this.#hash.digest();
  }

  /** The hash of the written prefix `[0, frontier)`, once it has caught up, to be continued by a tail transfer. */
  async hashUpTo(frontier: number): Promise<Hasher> {
    while (this.#hash.position < frontier) {
      const { sequence } = this.watermark;
      if (this.#state === 'broken') throw this.#failure ?? new BrokenBodyError('the ingest was given up');
      await this.watermark.changed(sequence);
    }
    return this.#hash.copy(frontier);
  }

  /** How far a reader of a whole body may go from the bytes' point of view (not counting what is withheld). */
  wholeLimit(position: number): number {
    return Math.min(this.pieces.readableEnd(position), this.#hash.position + maxUnhashedBytes);
  }

  /** Bytes of a claim reached the ingest. */
  written(chunks: readonly Uint8Array[], position: number): void {
    this.#hash.wrote(chunks, position);
    this.moved();
  }

  /** Bytes reached the ingest or its hash. */
  moved(): void {
    this.#progress();
    this.#syncIfDue();
  }

  setSize(sizeBytes: number): void {
    this.pieces.setSize(sizeBytes);
    this.#progress();
  }

  /** Something that readers or download workers may wait for has changed. */
  touch(): void {
    this.watermark.touch();
  }

  prove(): void {
    this.#hash.stop();
    this.#enter('proved');
  }

  /** The store takes no more bytes. What is written stays readable for those who follow it. */
  freeze(): void {
    if (this.#state === 'open') this.#enter('frozen');
  }

  break(failure: Error): void {
    if (this.#state === 'proved' || this.#state === 'broken') return;
    this.#failure = failure;
    this.#hash.stop();
    this.#enter('broken');
  }

  /** A reader or the fill itself keeps the file open; each `hold` needs one `release`. */
  hold(): void {
    this.#holds += 1;
  }

  release(): void {
    this.#holds -= 1;
    if (this.#holds > 0) return;
    this.#hash.stop();
    this.#options.file.close().catch((error: unknown) => {
      this.#options.logger.warn({ err: error }, 'closing an ingest failed');
    });
    this.#onReleased();
  }

  /** The file is closed: nobody may hold this any more. */
  get isReleased(): boolean {
    return this.#holds === 0;
  }

  /** Calls `listener` once when the last hold is gone, at once if it is. One listener only. */
  onReleased(listener: () => void): void {
    if (this.isReleased) listener();
    else this.#onReleased = listener;
  }

  /** Ends background work on the ingest so that it can be adopted, kept or aborted. */
  async settle(): Promise<void> {
    await this.#syncing;
  }

  #enter(state: Exclude<AttemptState, 'open'>): void {
    this.#state = state;
    // To the watermark, frozen and broken are one: no byte will be added.
    this.watermark.setState(state === 'proved' ? 'sealed' : 'failed');
  }

  #progress(): void {
    const { frontier } = this.pieces;
    this.#hash.follow(frontier);
    if (frontier > this.watermark.position) this.watermark.advance(frontier);
    else this.watermark.touch();
  }

  #syncIfDue(): void {
    const grown = this.pieces.writtenBytes - this.#syncedBytes;
    const now = this.#options.clock.monotonic();
    const isDue = grown >= syncEveryBytes || (grown > 0 && now - this.#syncedAtMs >= syncEveryMs);
    if (!isDue || this.#syncing !== undefined || this.#state !== 'open') return;
    this.#syncedAtMs = now;
    this.#syncedBytes = this.pieces.writtenBytes;
    this.#syncing = this.#sync().finally(() => {
      this.#syncing = undefined;
    });
  }

  async #sync(): Promise<void> {
    try {
      // What is recorded is what was written before the sync began; the sync says nothing about later bytes.
      await this.ingest.sync(this.pieces.written(), this.sizeBytes);
    } catch (error) {
      // A partial that cannot be made durable is still a good fill; it only cannot be resumed from here.
      this.#options.logger.warn({ err: error }, 'making a partial durable failed');
    }
  }
}
