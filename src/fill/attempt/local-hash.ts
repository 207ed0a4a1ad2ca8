/**
 * The hash of an ingest that is written in any order: it follows the contiguous prefix. Bytes that arrive exactly where
 * it stands are hashed from memory; anything else is read back from the file once the prefix has reached it.
 */
import type { Digest, DigestAlgorithm, Hasher } from '../../oci/digest.ts';
import { hasher } from '../../oci/digest.ts';
import type { Semaphore } from '../../lib/semaphore.ts';
import type { PositionalReader } from '../../store/contract/blob-store.ts';

/** Small enough that other fills get their turn between two slices. */
const sliceBytes = 1024 * 1024;

export interface LocalHashOptions {
  readonly algorithm: DigestAlgorithm;
  readonly file: PositionalReader;
  /** Taken for each slice that is read back, so that many re-hashes share the machine in turn. */
  readonly turns: Semaphore;
  /** Live fills go before re-hashing after a restart. */
  readonly isLive: boolean;
  /** Called after each step that moved `position`. */
  readonly onProgress: () => void;
  /** Called once when reading back fails; the follower is dead then. */
  readonly onError: (error: unknown) => void;
}

export class LocalHash {
  readonly #options: LocalHashOptions;
  readonly #hash: Hasher;
  #position = 0;
  #limit = 0;
  #isReading = false;
  #isStopped = false;

  constructor(options: LocalHashOptions) {
    this.#options = options;
    this.#hash = hasher(options.algorithm);
  }

  /** Everything before this has been hashed. */
  get position(): number {
    return this.#position;
  }

  /** Bytes that were just written at `position`: hashed at once when that is where the hash stands. */
  offer(bytes: Uint8Array, position: number): void {
    if (this.#isReading || this.#isStopped || position !== this.#position) return;
    this.#hash.update(bytes);
    this.#position += bytes.byteLength;
  }

  /** The contiguous prefix now ends at `frontier`; reads back whatever the hash has not seen. */
  follow(frontier: number): void {
    this.#limit = frontier;
    if (this.#isReading || this.#isStopped || this.#position >= frontier) return;
    this.#isReading = true;
    // Owned here: it never rejects, and `stop` ends it.
    void this.#readBack();
  }

  /** The digest of `[0, position)`, leaving the hash as it is. */
  digest(): Promise<Digest> {
    return Promise.resolve(this.#hash.copy().digest());
  }

  /** A copy of the running hash, to be continued by somebody else from `position`. */
  copy(): Hasher {
    return this.#hash.copy();
  }

  stop(): void {
    this.#isStopped = true;
  }

  async #readBack(): Promise<void> {
    const { file, turns, isLive, onProgress, onError } = this.#options;
    const buffer = Buffer.allocUnsafeSlow(Math.min(sliceBytes, this.#limit - this.#position));
    try {
      while (this.#position < this.#limit && !this.#isStopped) {
        using _turn = await turns.acquire(isLive ? 'high' : 'normal');
        const length = Math.min(buffer.byteLength, this.#limit - this.#position);
        const count = await file.read(buffer, 0, length, this.#position);
        if (this.#isStopped) return;
        if (count === 0) throw new Error(`the ingest ends at ${this.#position}, before its written prefix`);
        this.#hash.update(buffer.subarray(0, count));
        this.#position += count;
        onProgress();
      }
    } catch (error) {
      this.#isStopped = true;
      onError(error);
    } finally {
      this.#isReading = false;
    }
    if (!this.#isStopped) this.follow(this.#limit);
  }
}

/** The hash of the written prefix `[0, end)`, read back from the file. */
export function hashPrefix(
  options: Omit<LocalHashOptions, 'onProgress' | 'onError' | 'isLive'>,
  end: number,
): Promise<Hasher> {
  return new Promise((resolve, reject) => {
    const onProgress = (): void => {
      if (follower.position === end) resolve(follower.copy());
    };
    const follower = new LocalHash({ ...options, isLive: true, onProgress, onError: reject });
    follower.follow(end);
    onProgress();
  });
}
