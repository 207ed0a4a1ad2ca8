/** A line whose far end is on the same thread: what is said is copied and takes a turn of the loop, as between threads. */
import { type Clock, systemClock } from '../../../src/lib/clock.ts';
import { WorkerServer } from '../../../src/upstream/worker/server.ts';
import type {
  ExchangeWorker,
  WorkerCall,
  WorkerCommand,
  WorkerOrder,
  WorkerReply,
} from '../../../src/upstream/contract/worker-protocol.ts';

type OnReply = Parameters<ExchangeWorker['call']>[1];

export class LocalLine implements ExchangeWorker {
  readonly end: WorkerServer;
  readonly #listeners = new Map<number, OnReply>();
  #ids = 0;
  #isLost = false;
  /** What is said while the thread has no turn, in order. */
  #unsaid: (() => void)[] | undefined;

  constructor(clock: Clock = systemClock) {
    this.end = new WorkerServer(clock, (id, reply) => this.#later(() => this.#hear(id, structuredClone(reply))));
  }

  call(order: WorkerOrder, onReply: OnReply): WorkerCall {
    const id = ++this.#ids;
    this.#listeners.set(id, onReply);
    const tell = (command: WorkerCommand): void => this.#later(() => this.end.obey(id, structuredClone(command)));
    tell({ kind: 'open', order });
    return { id, tell };
  }

  /** As if the thread had died. */
  lose(): void {
    this.#isLost = true;
    for (const listener of this.#listeners.values()) listener({ kind: 'lost' });
    this.#listeners.clear();
  }

  /** As if the thread were alive and had no turn. */
  sleep(): void {
    this.#unsaid = [];
  }

  /** What has been said since. */
  get unsaid(): number {
    return this.#unsaid?.length ?? 0;
  }

  wake(): void {
    const unsaid = this.#unsaid ?? [];
    this.#unsaid = undefined;
    for (const work of unsaid) this.#later(work);
  }

  close(): Promise<void> {
    return this.end.close();
  }

  #hear(id: number, reply: WorkerReply): void {
    const listener = this.#listeners.get(id);
    if (reply.kind === 'end') this.#listeners.delete(id);
    listener?.(reply);
  }

  #later(work: () => void): void {
    if (this.#unsaid !== undefined) this.#unsaid.push(work);
    else setImmediate(() => this.#isLost || work());
  }
}
