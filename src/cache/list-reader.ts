/**
 * Reads what upstreams send as lists: long ones on a thread that serves nobody, because a list of 8 MiB can take most of a
 * second to be parsed. The thread is there while there is something to read.
 */
import { Worker } from 'node:worker_threads';
import type { Tag } from '../oci/reference.ts';
import { type ListOrder, type ListReply, readList } from './list-orders.ts';
import type { Referrer } from './referrers-index.ts';

/** Longer ones are read on the thread. */
export const longestReadHere = 1024 * 1024;
/** Of the thread's memory, in MiB: some times what the longest list takes. */
const maxHeapMb = 512;

interface Waiting {
  readonly order: ListOrder;
  readonly resolve: (list: ListReply['list']) => void;
}

export class ListReader {
  readonly #waiting = new Map<number, Waiting>();
  #worker: Worker | undefined;
  #ids = 0;

  /** Whether a thread is there. */
  get isBusy(): boolean {
    return this.#worker !== undefined;
  }

  /** See `readTags`. Never rejects. */
  async tags(bytes: Uint8Array): Promise<readonly Tag[] | undefined> {
    return (await this.#read({ id: ++this.#ids, kind: 'tags', bytes })) as readonly Tag[] | undefined;
  }

  /** See `readReferrers`. Never rejects. */
  async referrers(bytes: Uint8Array, contentType: string | undefined): Promise<readonly Referrer[] | undefined> {
    const order: ListOrder = { id: ++this.#ids, kind: 'referrers', bytes, contentType };
    return (await this.#read(order)) as readonly Referrer[] | undefined;
  }

  /** What is being read is no list any more. */
  close(): void {
    this.#end(() => undefined);
  }

  async #read(order: ListOrder): Promise<ListReply['list']> {
    if (order.bytes.byteLength <= longestReadHere) return readList(order);
    const { promise, resolve } = Promise.withResolvers<ListReply['list']>();
    this.#waiting.set(order.id, { order, resolve });
    this.#running().postMessage(order);
    return promise;
  }

  #running(): Worker {
    if (this.#worker !== undefined) return this.#worker;
    // The same file, before and after compilation.
    const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
    const worker = new Worker(new URL(`./list-worker.${extension}`, import.meta.url), {
      resourceLimits: { maxOldGenerationSizeMb: maxHeapMb },
    });
    this.#worker = worker;
    worker.unref();
    worker.on('message', ({ id, list }: ListReply) => {
      this.#settle(id, list);
      if (this.#waiting.size === 0 && this.#worker === worker) this.#end(readList);
    });
    worker.on('error', (error: NodeJS.ErrnoException) => {
      if (this.#worker !== worker) return;
      // A list that needs more memory than any of its length should is none. That there is no thread is nobody's fault.
      this.#end(error.code === 'ERR_WORKER_OUT_OF_MEMORY' ? () => undefined : readList);
    });
    worker.on('exit', () => {
      if (this.#worker === worker) this.#end(readList);
    });
    return worker;
  }

  #settle(id: number, list: ListReply['list']): void {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    waiting?.resolve(list);
  }

  /** Those that still wait are answered by `read`. */
  #end(read: (order: ListOrder) => ListReply['list']): void {
    const worker = this.#worker;
    this.#worker = undefined;
    for (const [id, { order }] of this.#waiting) this.#settle(id, read(order));
    // Owned here: a thread that has nothing to do; that it ends cannot fail.
    void worker?.terminate();
  }
}
