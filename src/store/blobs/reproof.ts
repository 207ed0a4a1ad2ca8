/**
 * Proving again, beside serving, blobs whose files are others than those that were proved although nothing shows that
 * their bytes are: one at a time, when they are used, on a thread that yields to everything else.
 */
import type { Worker } from 'node:worker_threads';
import { startThread } from '../../lib/threads/spawn.ts';
import type { Logger } from '../../lib/log.ts';
import type { Digest } from '../../oci/digest.ts';
import { type BlobStore, StoreError } from '../contract/blob-store.ts';
import { type FileStamp, parseStamp } from '../contract/file-stamp.ts';
import { blobPath, type StorePaths } from '../files/paths.ts';
import type { ProofReply, ProofRequest } from './proof-worker.ts';

/** Beyond it a blob waits until it is used again. */
const mostWaiting = 4096;

export interface ReproofOptions {
  readonly paths: StorePaths;
  readonly logger: Logger;
  readonly renew: (digest: Digest, stamp: FileStamp) => Promise<void>;
  readonly quarantine: BlobStore['quarantine'];
}

export class Reproof {
  readonly #options: ReproofOptions;
  /** The first one is being read. */
  readonly #waiting = new Set<Digest>();
  #worker: Worker | undefined;
  #isClosed = false;

  constructor(options: ReproofOptions) {
    this.#options = options;
  }

  ask(digest: Digest): void {
    if (this.#isClosed || this.#waiting.size >= mostWaiting || this.#waiting.has(digest)) return;
    this.#waiting.add(digest);
    if (this.#waiting.size === 1) this.#next();
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#waiting.clear();
    await this.#worker?.terminate();
  }

  #next(): void {
    const [digest] = this.#waiting;
    if (this.#isClosed) return;
    if (digest === undefined) {
      // Nothing has moved, as usual: no thread waits for what may never come.
      const worker = this.#worker;
      this.#worker = undefined;
      // Owned here: a thread with nothing to do; that it ends cannot fail.
      void worker?.terminate();
      return;
    }
    const request: ProofRequest = { digest, path: blobPath(this.#options.paths, digest) };
    this.#running().postMessage(request);
  }

  #running(): Worker {
    if (this.#worker !== undefined) return this.#worker;
    // The same file, before and after compilation.
    const worker = startThread(import.meta.url, 'proof-worker');
    this.#worker = worker;
    worker.unref();
    worker.on('message', (reply: ProofReply) => {
      // Owned by the queue: the next one waits for it, and it never rejects.
      void this.#take(reply).then(() => this.#next());
    });
    worker.on('error', (error) =>
      this.#options.logger.warn({ err: error }, 'the thread that proves blobs again failed'),
    );
    worker.on('exit', () => {
      if (this.#worker !== worker) return;
      this.#worker = undefined;
      // Not the same one again: it may be what ended the thread.
      const [digest] = this.#waiting;
      if (digest !== undefined) this.#waiting.delete(digest);
      this.#next();
    });
    return worker;
  }

  async #take({ digest, found }: ProofReply): Promise<void> {
    const { renew, quarantine, logger } = this.#options;
    try {
      const stamp = parseStamp(found?.stamp ?? '');
      if (this.#isClosed || found === undefined || stamp === undefined) return;
      if (found.digest === digest) await renew(digest, stamp);
      else await quarantine(digest, 'its file was exchanged, and its bytes are not its digest');
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      logger.warn({ digest, err: error }, 'a blob that was proved again cannot be recorded');
    } finally {
      this.#waiting.delete(digest);
    }
  }
}
