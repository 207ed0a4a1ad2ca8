/** One thread that serves clients, as the owner sees it: its calls, what it holds, and what it leaves behind. */
import { MessageChannel, type Worker } from 'node:worker_threads';
import { startThread } from '../lib/threads/spawn.ts';
import type { Cache } from '../cache/contract/cache.ts';
import { CacheHost } from '../cache/threads/host.ts';
import { remoteErrors } from '../cache/threads/errors.ts';
import { closeLeftovers, fdTableMemory } from '../http/body/duplicated-sockets.ts';
import { loadLibc } from '../http/body/libc.ts';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/log.ts';
import { PortCaller } from '../lib/threads/calls.ts';
import type { Gathered, ServeCalls, ServeReport, ServeSetup } from './protocol.ts';

export interface ServeThreadOptions {
  readonly setup: Omit<ServeSetup, 'fds' | 'cachePort' | 'controlPort'>;
  readonly cache: Cache;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Access lines, each with its newline. */
  readonly onLines: (text: string) => void;
  /** Called once, when it has ended for whatever reason and all that it held has been let go. */
  readonly onExit: (thread: ServeThread) => void;
}

const pingEveryMs = 2_000;
/** A thread that does not answer for so long is replaced. */
const patienceMs = 10_000;
/** One that does not end by itself for so long is ended from here. */
const exitMs = 1_000;

export class ServeThread {
  /** Resolves when the thread is gone and nothing of it is left. Never rejects. */
  readonly ended: Promise<void>;
  readonly #options: ServeThreadOptions;
  readonly #worker: Worker;
  readonly #host: CacheHost;
  readonly #control: PortCaller<ServeCalls>;
  readonly #fds = fdTableMemory();

  constructor(options: ServeThreadOptions) {
    this.#options = options;
    const cache = new MessageChannel();
    const control = new MessageChannel();
    this.#host = new CacheHost(options.cache, cache.port1);
    this.#control = new PortCaller(control.port1, remoteErrors);
    const setup: ServeSetup = {
      ...options.setup,
      fds: this.#fds,
      cachePort: cache.port2,
      controlPort: control.port2,
    };
    // The same file, before and after compilation.
    this.#worker = startThread(import.meta.url, 'worker', {
      name: 'serve',
      workerData: setup,
      transferList: [cache.port2, control.port2],
    });
    this.#worker.on('message', (report: ServeReport) => this.#report(report));
    this.#worker.on('error', (error) => options.logger.error({ err: error }, 'a thread that serves clients failed'));
    this.ended = new Promise((resolve) => {
      this.#worker.once('exit', () => {
        // Owned here: it never rejects.
        void this.#cleanUp().then(resolve);
      });
    });
  }

  /** Views and readers that its clients have open at the owner. */
  get held(): number {
    return this.#host.held;
  }

  /** Accepts connections. Rejects when it cannot; the caller ends it then. */
  async listen(): Promise<{ readonly hasSendfile: boolean }> {
    const listening = await this.#control.call('listen', undefined);
    this.#watch();
    return listening;
  }

  gather(): Promise<Gathered> {
    return this.#control.call('gather', undefined);
  }

  /** Resolves the number of connections that had to be broken off; a thread that dies meanwhile has broken its own. */
  async drain(deadline: AbortSignal): Promise<number> {
    const breakOff = (): void => this.#control.tell('breakOff', undefined);
    deadline.addEventListener('abort', breakOff, { once: true });
    try {
      return (await this.#control.call('drain', { isImmediate: deadline.aborted })).broken;
    } catch {
      return 0;
    } finally {
      deadline.removeEventListener('abort', breakOff);
    }
  }

  /**
   * Ends it at once, with its connections. The thread is asked first, and only one that hangs is ended from outside: a
   * call through koffi that begins while that happens aborts the whole process (seen; koffi issue 190).
   */
  async terminate(): Promise<void> {
    this.#control.tell('exit', undefined);
    using _timer = this.#options.clock.setTimer(exitMs, () => void this.#worker.terminate());
    await this.ended;
  }

  #watch(): void {
    const { clock, logger } = this.#options;
    const check = async (): Promise<void> => {
      for (;;) {
        await clock.sleep(pingEveryMs, over.signal);
        const late = new AbortController();
        using _timer = clock.setTimer(patienceMs, () => late.abort(new Error('no answer to a ping')));
        try {
          await this.#control.call('ping', undefined, late.signal);
        } catch (error) {
          if (over.signal.aborted) return;
          logger.error({ err: error }, `a thread that serves clients has been silent for ${patienceMs / 1000} s`);
          await this.terminate();
        }
      }
    };
    const over = new AbortController();
    void this.ended.then(() => over.abort(new Error('ended')));
    // It ends with the thread.
    check().catch(() => undefined);
  }

  #report(report: ServeReport): void {
    if (report.kind === 'lines') this.#options.onLines(report.text);
    else this.#options.logger[report.level](report.fields, report.message);
  }

  /** Never rejects. */
  async #cleanUp(): Promise<void> {
    this.#control.close(new Error('the thread has ended'));
    this.#host[Symbol.dispose]();
    try {
      const libc = await loadLibc();
      if (libc !== undefined) closeLeftovers(this.#fds, libc);
    } catch {
      // Without the library there are no duplicates either.
    }
    this.#options.onExit(this);
  }
}
