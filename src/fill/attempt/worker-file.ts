/** The owner's view of an ingest that download workers hash and write to. */
import { type Digest, type DigestAlgorithm, parseDigest } from '../../oci/digest.ts';
import type { FileIdentity } from '../../store/files/shared-between-threads.ts';
import type { WorkerPair } from '../worker/pool.ts';
import type { DownloadWorker } from '../worker/thread.ts';

export interface WorkerFileOptions extends WorkerPair {
  readonly path: string;
  /** Of the file that readers have open. */
  readonly identity: FileIdentity | undefined;
  readonly algorithm: DigestAlgorithm;
  readonly isLive: boolean;
  readonly onProgress: () => void;
  /** Called once when reading back fails. */
  readonly onError: (error: Error) => void;
  /** Called once when the thread that hashes has died. */
  readonly onLost: () => void;
}

export class WorkerFile {
  readonly path: string;
  readonly #thread: DownloadWorker;
  readonly #hashThread: DownloadWorker;
  readonly #handle: ReturnType<DownloadWorker['file']>;
  #position = 0;
  #isStopped = false;
  #digest: PromiseWithResolvers<Digest | undefined> | undefined;
  /** Granted to moves and not written yet: the disk may get so much more at any moment. */
  pendingBytes = 0;

  constructor(options: WorkerFileOptions) {
    const { thread, hashThread, path, identity, algorithm, isLive, onProgress, onError, onLost } = options;
    this.path = path;
    this.#thread = thread;
    this.#hashThread = hashThread;
    thread.load += 1;
    hashThread.load += 1;
    this.#handle = hashThread.file({ path, identity, algorithm, isLive }, (reply) => {
      switch (reply.kind) {
        case 'hashed':
          this.hashed(reply.position);
          return onProgress();
        case 'digest': {
          const digest = parseDigest(`${algorithm}:${reply.hex}`);
          this.#digest?.resolve(digest);
          this.#digest = undefined;
          return undefined;
        }
        case 'unreadable':
          return onError(new Error(reply.reason));
        case 'lost':
          this.stop();
          return onLost();
      }
    });
  }

  /** Where bodies for it should lie. Undefined when that thread has died or is silent. */
  get thread(): DownloadWorker | undefined {
    return this.#thread.isUsable ? this.#thread : undefined;
  }

  /** What moves name it by; undefined where they cannot see its hash. */
  get id(): number | undefined {
    return this.#thread === this.#hashThread ? this.#handle.id : undefined;
  }

  /** Everything before this has been hashed. */
  get position(): number {
    return this.#position;
  }

  hashed(position: number): void {
    this.#position = Math.max(this.#position, position);
  }

  /** Bytes that the thread that hashes has not seen. */
  wrote(start: number, end: number): void {
    this.#handle.tell({ kind: 'wrote', start, end });
  }

  /** Bytes that a move has written. */
  moved(start: number, end: number): void {
    if (this.id === undefined) this.wrote(start, end);
  }

  /** The digest of `[0, position)`; undefined when there is nobody to tell it. */
  digest(): Promise<Digest | undefined> {
    this.#digest ??= Promise.withResolvers();
    this.#handle.tell({ kind: 'digest' });
    return this.#digest.promise;
  }

  /** Idempotent. */
  stop(): void {
    if (this.#isStopped) return;
    this.#isStopped = true;
    this.#thread.load -= 1;
    this.#hashThread.load -= 1;
    this.#digest?.resolve(undefined);
    this.#handle.tell({ kind: 'forget' });
  }
}
