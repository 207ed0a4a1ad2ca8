/** The owner's side of `catalog-worker`: starts the thread when there is work, and asks for checkpoints. */
import type { Worker } from 'node:worker_threads';
import { startThread } from '../../lib/threads/spawn.ts';
import type { Logger } from '../../lib/log.ts';
import type { MetadataDatabase, DatabaseListener } from './database.ts';
import type { CheckpointReply } from './checkpoint-worker.ts';

/** Keeps the log at a few megabytes: a changed row touches a few pages of 4 KiB, many of them again and again. */
const rowsPerCheckpoint = 1000;

export class Checkpointer implements DatabaseListener {
  readonly #database: MetadataDatabase;
  readonly #logger: Logger;
  #worker: Worker | undefined;
  #rows = 0;
  #isClosed = false;
  /** Ends the checkpoint under way. */
  #answer: ((reply: CheckpointReply) => void) | undefined;

  constructor(database: MetadataDatabase, logger: Logger) {
    this.#database = database;
    this.#logger = logger;
    database.listen(this);
  }

  afterCommit(rowsChanged: number): void {
    this.#rows += rowsChanged;
    if (this.#rows < rowsPerCheckpoint || this.#answer !== undefined) return;
    this.#rows = 0;
    if (this.#isClosed || !this.#database.isShared) return;
    this.#answer = ({ failure }) => {
      this.#answer = undefined;
      if (failure !== undefined) this.#logger.warn({ reason: failure }, 'the catalog could not be checkpointed');
    };
    this.#running().postMessage(this.#database.path);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    const worker = this.#worker;
    this.#worker = undefined;
    await worker?.terminate();
  }

  #running(): Worker {
    if (this.#worker !== undefined) return this.#worker;
    // The same file, before and after compilation.
    const worker = startThread(import.meta.url, 'checkpoint-worker');
    this.#worker = worker;
    worker.unref();
    worker.on('message', (reply: CheckpointReply) => this.#answer?.(reply));
    worker.on('error', (error) => this.#logger.warn({ err: error }, "the catalog's thread failed"));
    worker.on('exit', () => {
      if (this.#worker === worker) this.#worker = undefined;
      if (!this.#isClosed) this.#answer?.({ failure: "the catalog's thread has ended" });
    });
    return worker;
  }
}
