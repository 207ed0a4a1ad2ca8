/** The owner's side of `catalog-worker`: starts the thread when there is work, and asks for checkpoints. */
import { Worker } from 'node:worker_threads';
import type { Logger } from '../lib/log.ts';
import type { CatalogDatabase, DatabaseListener } from './catalog-database.ts';
import type { CatalogJob, CatalogReply, CatalogRequest } from './catalog-worker.ts';

/** Keeps the log at a few megabytes: a changed row touches a few pages of 4 KiB, many of them again and again. */
const rowsPerCheckpoint = 1000;

export class CatalogThread implements DatabaseListener {
  readonly #database: CatalogDatabase;
  readonly #logger: Logger;
  readonly #waiting = new Map<number, (reply: CatalogReply) => void>();
  #worker: Worker | undefined;
  #jobs = 0;
  #rows = 0;
  #isClosed = false;
  #checkpoint: Promise<void> | undefined;

  constructor(database: CatalogDatabase, logger: Logger) {
    this.#database = database;
    this.#logger = logger;
    database.listen(this);
  }

  afterCommit(rowsChanged: number): void {
    this.#rows += rowsChanged;
    if (this.#rows < rowsPerCheckpoint || this.#checkpoint !== undefined) return;
    this.#rows = 0;
    this.#checkpoint = this.#ask('checkpoint')
      .then(({ failure }) => {
        if (failure !== undefined) this.#logger.warn({ reason: failure }, 'the catalog could not be checkpointed');
      })
      .finally(() => (this.#checkpoint = undefined));
  }

  /** What is wrong with the structure of the file, or undefined. Reads all of it. */
  async findDamage(): Promise<string | undefined> {
    const { damage, failure } = await this.#ask('check');
    if (failure !== undefined) this.#logger.warn({ reason: failure }, 'the catalog could not be checked');
    return damage;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    const worker = this.#worker;
    this.#worker = undefined;
    await worker?.terminate();
    await this.#checkpoint;
  }

  #ask(job: CatalogJob): Promise<CatalogReply> {
    const id = ++this.#jobs;
    if (this.#isClosed || !this.#database.isShared) return Promise.resolve({ id });
    return new Promise((resolve) => {
      this.#waiting.set(id, resolve);
      const request: CatalogRequest = { id, job, path: this.#database.path };
      this.#running().postMessage(request);
    });
  }

  #running(): Worker {
    if (this.#worker !== undefined) return this.#worker;
    // The same file, before and after compilation.
    const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
    const worker = new Worker(new URL(`./catalog-worker.${extension}`, import.meta.url));
    this.#worker = worker;
    worker.unref();
    worker.on('message', (reply: CatalogReply) => this.#answer(reply));
    worker.on('error', (error) => this.#logger.warn({ err: error }, "the catalog's thread failed"));
    worker.on('exit', () => {
      if (this.#worker === worker) this.#worker = undefined;
      for (const id of this.#waiting.keys()) this.#answer({ id, failure: "the catalog's thread has ended" });
    });
    return worker;
  }

  #answer(reply: CatalogReply): void {
    const resolve = this.#waiting.get(reply.id);
    this.#waiting.delete(reply.id);
    resolve?.(reply);
  }
}
