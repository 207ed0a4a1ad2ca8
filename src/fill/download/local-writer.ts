/**
 * Writes what arrives for one claim. The first chunk is written at once, so that readers start; while a write runs, chunks
 * gather and go out as one, so that a fast upstream costs few writes.
 */
import { StoreError } from '../../store/contract/blob-store.ts';
import { BrokenBodyError } from '../contract/errors.ts';
import type { Attempt } from '../attempt/attempt.ts';
import type { Claim } from '../attempt/pieces.ts';
import type { Reservation } from '../space/reservation.ts';

/** Chunks waiting beyond this make the upstream wait. */
const maxWaitingBytes = 1024 * 1024;

export class LocalWriter {
  readonly #attempt: Attempt;
  readonly #claim: Claim;
  readonly #reservation: Reservation;
  #waiting: Uint8Array[] = [];
  #waitingBytes = 0;
  #running: Promise<void> | undefined;
  #failure: Error | undefined;

  constructor(attempt: Attempt, claim: Claim, reservation: Reservation) {
    this.#attempt = attempt;
    this.#claim = claim;
    this.#reservation = reservation;
  }

  /**
   * Takes the next bytes of the claim; what lies beyond its end is dropped. Resolves when more may be pushed. Rejects
   * with StoreError once writing has failed, and with the attempt's failure when that was given up.
   */
  push(chunk: Uint8Array): Promise<void> | void {
    const { state, failure } = this.#attempt;
    if (state === 'broken') return Promise.reject(failure ?? new BrokenBodyError('the attempt was given up'));
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    const accepted = this.#attempt.pieces.commit(this.#claim, chunk.byteLength);
    // A claim may be cut off while its next chunk is on the way. A run without work would end before it is recorded here,
    // and whoever waits for its end would wait in a circle.
    if (accepted === 0) return;
    this.#waiting.push(accepted === chunk.byteLength ? chunk : chunk.subarray(0, accepted));
    this.#waitingBytes += accepted;
    this.#running ??= this.#run();
    if (this.#waitingBytes >= maxWaitingBytes) return this.#settled();
  }

  /** Resolves when everything that was pushed is written and announced. */
  async flush(): Promise<void> {
    while (this.#running !== undefined) await this.#settled();
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Resolves when no write is under way, whatever became of it. */
  async idle(): Promise<void> {
    while (this.#running !== undefined) await this.#running;
  }

  async #settled(): Promise<void> {
    await this.#running;
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Never rejects: the failure is kept for the next `push` or `flush`. */
  async #run(): Promise<void> {
    try {
      while (this.#waiting.length > 0) {
        const chunks = this.#waiting;
        const bytes = this.#waitingBytes;
        this.#waiting = [];
        this.#waitingBytes = 0;
        await this.#write(chunks, bytes);
      }
    } catch (error) {
      this.#failure = error instanceof Error ? error : new Error('writing failed', { cause: error });
    } finally {
      this.#running = undefined;
    }
  }

  async #write(chunks: readonly Uint8Array[], bytes: number): Promise<void> {
    const { ingest, pieces } = this.#attempt;
    const { position } = this.#claim;
    const left = pieces.sizeBytes === undefined ? Infinity : pieces.sizeBytes - pieces.writtenBytes;
    const isCovered = this.#reservation.cover(ingest.allocatedBytes() + bytes, left);
    if (!(isCovered === true || (await isCovered))) {
      throw new StoreError('full', 'the cache has no room for more of this blob');
    }
    try {
      await ingest.write(chunks, position);
    } catch (error) {
      // A full disk is worth one eviction and one more try; the write is positional, so repeating it is harmless.
      if (!(error instanceof StoreError) || error.kind !== 'full' || !(await this.#reservation.relieve())) throw error;
      await ingest.write(chunks, position);
    }
    pieces.advance(this.#claim, position + bytes);
    this.#attempt.written(chunks, position);
  }
}
