/** The owner's side of `recovery-worker`: asks for one step after the other. */
import { once } from 'node:events';
import type { Worker } from 'node:worker_threads';
import { startThread } from '../../lib/threads/spawn.ts';
import type { WalkStep } from './walk.ts';
import type { RecoveryData, RecoveryReply, RecoveryRequest } from './walk-worker.ts';

export class RecoveryThread implements AsyncDisposable {
  readonly #worker: Worker;
  readonly #signal: AbortSignal;

  constructor(data: RecoveryData, signal: AbortSignal) {
    this.#signal = signal;
    // The same file, before and after compilation.
    this.#worker = startThread(import.meta.url, 'walk-worker', { workerData: data });
  }

  /** The steps of a walk. Rejects with the signal's reason, and when the disk cannot be read. */
  async *walk(kind: 'files' | 'rows'): AsyncGenerator<WalkStep, void> {
    for (;;) {
      const { step, failure } = await this.#ask(kind);
      if (failure !== undefined) throw new Error(failure);
      if (step === undefined) return;
      yield step;
    }
  }

  /** What is wrong with the structure of the catalog's file, or why that cannot be told. Reads all of it. */
  check(): Promise<Pick<RecoveryReply, 'damage' | 'failure'>> {
    return this.#ask('check');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#worker.terminate();
  }

  async #ask(request: RecoveryRequest): Promise<RecoveryReply> {
    this.#signal.throwIfAborted();
    this.#worker.postMessage(request);
    const replies = await once(this.#worker, 'message', { signal: this.#signal });
    return replies[0] as RecoveryReply;
  }
}
