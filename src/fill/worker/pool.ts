/** The download workers of a cache: started when there is something to move, and a new one in place of one that died. */
import { availableParallelism } from 'node:os';
import { type Clock, systemClock } from '../../lib/clock.ts';
import type { Logger } from '../../lib/log.ts';
import { DownloadWorker } from './thread.ts';

/** More outrun any disk. */
const maxThreads = 4;
/** After so many deaths something is wrong with threads here, and the main thread does their work. */
const maxDeaths = 5;

export interface WorkerPair {
  /** Carries the exchanges and writes. */
  readonly thread: DownloadWorker;
  /** Hashes: the same one, unless another has nothing else to do. */
  readonly hashThread: DownloadWorker;
}

export class DownloadWorkers {
  readonly #logger: Logger;
  readonly #size: number;
  readonly #clock: Clock;
  readonly #threads = new Set<DownloadWorker>();
  #deaths = 0;
  #isClosed = false;

  /** `clock` is for pings, to which threads answer in the machine's own time. */
  constructor(logger: Logger, size: number = Math.min(maxThreads, availableParallelism()), clock: Clock = systemClock) {
    this.#logger = logger;
    this.#clock = clock;
    this.#size = size;
  }

  /** Whoever takes them counts in their `load`. Undefined when there are none: closed, or too many have died. */
  pick(): WorkerPair | undefined {
    this.#forgetDead();
    if (this.#isClosed || this.#deaths >= maxDeaths) return undefined;
    const thread = this.#idle() ?? this.#leastLoaded() ?? this.#start();
    return { thread, hashThread: this.#idle(thread) ?? thread };
  }

  /** For how many milliseconds the busiest thread has been so, over its life; the main thread, where there are no others. */
  busyMs(): number {
    if (this.#threads.size === 0) return performance.eventLoopUtilization().active;
    return Math.max(...[...this.#threads].map((thread) => thread.busyMs()));
  }

  /** Ends the threads; every fill must have ended before. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.all([...this.#threads].map((thread) => thread.end()));
    this.#threads.clear();
  }

  #forgetDead(): void {
    for (const thread of this.#threads) {
      if (!thread.isDead) continue;
      this.#threads.delete(thread);
      this.#deaths += 1;
    }
  }

  /** One with nothing to do, or a new one where there may be one. */
  #idle(except?: DownloadWorker): DownloadWorker | undefined {
    for (const thread of this.#threads) if (thread.load === 0 && thread.isUsable && thread !== except) return thread;
    return this.#threads.size < this.#size ? this.#start() : undefined;
  }

  #leastLoaded(): DownloadWorker | undefined {
    let best: DownloadWorker | undefined;
    for (const thread of this.#threads) {
      if (thread.isUsable && (best === undefined || thread.load < best.load)) best = thread;
    }
    return best;
  }

  #start(): DownloadWorker {
    const thread = new DownloadWorker(this.#logger, this.#clock);
    this.#threads.add(thread);
    return thread;
  }
}
