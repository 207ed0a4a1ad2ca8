/**
 * The hash of one spool, wherever it is computed: on a mover thread where there is one, else here. When that thread dies it
 * is computed here, from the start.
 */
import type { Semaphore } from '../../lib/semaphore.ts';
import type { Digest, DigestAlgorithm, Hasher } from '../../oci/digest.ts';
import type { Interval, PositionalReader } from '../../store/contract/blob-store.ts';
import { placeOf } from '../../store/files/shared-between-threads.ts';
import { HashFollower, hashPrefix } from './local-hash.ts';
import type { MoverPair } from '../worker/pool.ts';
import { RemoteSpool } from './worker-file.ts';

export interface SpoolHashOptions {
  readonly algorithm: DigestAlgorithm;
  readonly file: PositionalReader;
  /** For what is read back here. */
  readonly turns: Semaphore;
  readonly isLive: boolean;
  /** What is in the file already. */
  readonly written: readonly Interval[];
  /** The file, and the threads that may open it. Others may take the name of a blob; that of an ingest belongs to it alone. */
  readonly remote: (MoverPair & { readonly path: string; readonly isStored: boolean }) | undefined;
  /** The hash moved, or began again. */
  readonly onProgress: () => void;
  /** Called once when reading back fails. */
  readonly onError: (error: unknown) => void;
}

export class SpoolHash {
  readonly #options: SpoolHashOptions;
  #there: RemoteSpool | undefined;
  #here: HashFollower | undefined;
  /** Of the prefix that ends there. */
  #prefix: { readonly end: number; readonly hasher: Promise<Hasher> } | undefined;

  constructor(options: SpoolHashOptions) {
    this.#options = options;
    const { algorithm, isLive, written, remote, onProgress, onError } = options;
    if (remote === undefined) {
      this.#here = this.#startHere();
      return;
    }
    const onLost = (): void => {
      this.#there = undefined;
      this.#here = this.#startHere();
      onProgress();
    };
    // What is proved must be what readers read.
    const { descriptor } = options.file;
    const place = remote.isStored && descriptor !== undefined ? placeOf(descriptor) : undefined;
    this.#there = new RemoteSpool({ ...remote, place, algorithm, isLive, onProgress, onError, onLost });
    for (const { start, end } of written) this.#there.wrote(start, end);
  }

  /** The spool on a thread that can also write to it; undefined when only this thread can. */
  get remote(): RemoteSpool | undefined {
    return this.#there?.thread === undefined ? undefined : this.#there;
  }

  /** Everything before this has been hashed. */
  get position(): number {
    return this.#there?.position ?? this.#here?.position ?? 0;
  }

  /** The digest of `[0, position)`. Undefined when the thread that knew it has died: it is hashed again. */
  async digest(): Promise<Digest | undefined> {
    return this.#there === undefined ? this.#here?.digest() : this.#there.digest();
  }

  /** Chunks were written on this thread, from `position` on. */
  wrote(chunks: readonly Uint8Array[], position: number): void {
    let at = position;
    for (const chunk of chunks) {
      this.#here?.offer(chunk, at);
      at += chunk.byteLength;
    }
    this.#there?.wrote(position, at);
  }

  /** The contiguous prefix now ends at `frontier`. */
  follow(frontier: number): void {
    this.#here?.follow(frontier);
  }

  /** The running hash where it stands, or, since no thread can give away the state of one, of `[0, end)` read back. */
  async copy(end: number): Promise<Hasher> {
    if (this.#here !== undefined) return this.#here.copy();
    if (this.#prefix?.end !== end) this.#prefix = { end, hasher: hashPrefix(this.#options, end) };
    return (await this.#prefix.hasher).copy();
  }

  stop(): void {
    this.#here?.stop();
    this.#there?.stop();
  }

  #startHere(): HashFollower {
    return new HashFollower(this.#options);
  }
}
