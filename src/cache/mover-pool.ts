/** The mover threads of a cache: started when there is something to move, and a new one in place of one that died. */
import { availableParallelism } from 'node:os';
import type { Logger } from '../lib/log.ts';
import { MoverThread } from './mover-thread.ts';

/** After so many deaths something is wrong with threads here, and the main thread does their work. */
const maxDeaths = 5;

export class MoverPool {
  readonly #logger: Logger;
  readonly #size: number;
  readonly #threads = new Set<MoverThread>();
  #deaths = 0;
  #isClosed = false;

  /** One core is left to the main thread, and more than four threads outrun any disk. */
  constructor(logger: Logger, size: number = Math.min(4, Math.max(1, availableParallelism() - 1))) {
    this.#logger = logger;
    this.#size = size;
  }

  /** The thread that has the least to do. Undefined when there are none: closed, or too many have died. */
  pick(): MoverThread | undefined {
    for (const thread of this.#threads) {
      if (!thread.isDead) continue;
      this.#threads.delete(thread);
      this.#deaths += 1;
    }
    if (this.#isClosed || this.#deaths >= maxDeaths) return undefined;
    let best: MoverThread | undefined;
    for (const thread of this.#threads) if (best === undefined || thread.load < best.load) best = thread;
    if (best !== undefined && (best.load === 0 || this.#threads.size >= this.#size)) return best;
    const thread = new MoverThread(this.#logger);
    this.#threads.add(thread);
    return thread;
  }

  /** Ends the threads; every fill must have ended before. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.all([...this.#threads].map((thread) => thread.end()));
    this.#threads.clear();
  }
}
