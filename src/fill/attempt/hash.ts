/**
 * The hash of one ingest, wherever it is computed: on a download worker where there is one, else here. When that thread dies it
 * is computed here, from the start.
 */
import type { Semaphore } from '../../lib/semaphore.ts';
import type { Digest, DigestAlgorithm, Hasher } from '../../oci/digest.ts';
import type { Interval, PositionalReader } from '../../store/contract/blob-store.ts';
import { identityOf } from '../../store/files/shared-between-threads.ts';
import { LocalHash, hashPrefix } from './local-hash.ts';
import type { WorkerPair } from '../worker/pool.ts';
import { WorkerFile } from './worker-file.ts';

export interface FileHashOptions {
  readonly algorithm: DigestAlgorithm;
  readonly file: PositionalReader;
  /** For what is read back here. */
  readonly turns: Semaphore;
  readonly isLive: boolean;
  /** What is in the file already. */
  readonly written: readonly Interval[];
  /** The file, and the threads that may open it. Others may take the name of a blob; that of an ingest belongs to it alone. */
  readonly remote: (WorkerPair & { readonly path: string; readonly isStored: boolean }) | undefined;
  /** The hash moved, or began again. */
  readonly onProgress: () => void;
  /** Called once when reading back fails. */
  readonly onError: (error: unknown) => void;
}

export class FileHash {
  readonly #options: FileHashOptions;
  #there: WorkerFile | undefined;
  #here: LocalHash | undefined;
  /** Of the prefix that ends there. */
  #prefix: { readonly end: number; readonly hasher: Promise<Hasher> } | undefined;

  constructor(options: FileHashOptions) {
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
    const { fd } = options.file;
    const identity = remote.isStored && fd !== undefined ? identityOf(fd) : undefined;
    this.#there = new WorkerFile({ ...remote, identity, algorithm, isLive, onProgress, onError, onLost });
    for (const { start, end } of written) this.#there.wrote(start, end);
  }

  /** The ingest on a thread that can also write to it; undefined when only this thread can. */
  get remote(): WorkerFile | undefined {
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

  #startHere(): LocalHash {
    return new LocalHash(this.#options);
  }
}
