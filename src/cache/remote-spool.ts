/** The owner's view of a spool that a mover thread hashes and writes to. */
import { type Digest, type DigestAlgorithm, parseDigest } from '../oci/digest.ts';
import type { MoverThread } from './mover-thread.ts';

export interface RemoteSpoolOptions {
  readonly thread: MoverThread;
  readonly path: string;
  readonly algorithm: DigestAlgorithm;
  readonly isLive: boolean;
  readonly onProgress: () => void;
  /** Called once when reading back fails. */
  readonly onError: (error: Error) => void;
  /** Called once when the thread has died: nobody hashes this any more. */
  readonly onLost: () => void;
}

export class RemoteSpool {
  readonly thread: MoverThread;
  readonly #handle: ReturnType<MoverThread['spool']>;
  #position = 0;
  #digest: PromiseWithResolvers<Digest | undefined> | undefined;
  /** Granted to moves and not written yet: the disk may get so much more at any moment. */
  pendingBytes = 0;

  constructor(options: RemoteSpoolOptions) {
    const { thread, path, algorithm, isLive, onProgress, onError, onLost } = options;
    this.thread = thread;
    this.#handle = thread.spool({ path, algorithm, isLive }, (reply) => {
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
          this.#digest?.resolve(undefined);
          return onLost();
      }
    });
  }

  /** What moves name it by. */
  get id(): number {
    return this.#handle.id;
  }

  /** Everything before this has been hashed. */
  get position(): number {
    return this.#position;
  }

  hashed(position: number): void {
    this.#position = Math.max(this.#position, position);
  }

  /** Bytes that were written on this thread. */
  wrote(start: number, end: number): void {
    this.#handle.tell({ kind: 'wrote', start, end });
  }

  /** The digest of `[0, position)`; undefined when there is nobody to tell it. */
  digest(): Promise<Digest | undefined> {
    this.#digest ??= Promise.withResolvers();
    this.#handle.tell({ kind: 'digest' });
    return this.#digest.promise;
  }

  stop(): void {
    this.#digest?.resolve(undefined);
    this.#handle.tell({ kind: 'forget' });
  }
}
