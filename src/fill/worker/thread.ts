/** The owner's side of one download worker: passes on what is said, and says of everything on it when the thread has died. */
import type { Worker } from 'node:worker_threads';
import { startThread } from '../../lib/threads/spawn.ts';
import type { Clock, Timer } from '../../lib/clock.ts';
import type { Logger } from '../../lib/log.ts';
import type { ExchangeWorker, WorkerCall, WorkerOrder, WorkerReply } from '../../upstream/contract/worker-protocol.ts';
import type { MoveCommand, MoveReply, ToWorker, FromWorker, FileCommand, FileOrder, FileReply } from './messages.ts';

/** Everybody's last message, when the thread has ended: it will touch nothing any more. */
export interface Lost {
  readonly kind: 'lost';
}

/** What a thread has under an id, in the owner's hands. */
export interface Handle<Command> {
  readonly id: number;
  tell(command: Command): void;
}

const pingEveryMs = 2_000;
/** A thread that does not answer for so long is replaced. Its writes and reads are synchronous, and disks can be slow. */
export const workerPatienceMs = 30_000;

type Listener = (reply: { readonly kind: string }) => void;

export class DownloadWorker implements ExchangeWorker {
  readonly #worker: Worker;
  readonly #logger: Logger;
  readonly #clock: Clock;
  readonly #calls = new Map<number, (reply: WorkerReply | Lost) => void>();
  readonly #moves = new Map<number, (reply: MoveReply | Lost) => void>();
  readonly #files = new Map<number, (reply: FileReply | Lost) => void>();
  readonly #exited = Promise.withResolvers<void>();
  /** Spools that are written or hashed here; whoever gives it one counts. */
  load = 0;
  #ids = 0;
  #isDead = false;
  #isSilent = false;
  #watch: Timer | undefined;

  constructor(logger: Logger, clock: Clock) {
    this.#logger = logger;
    this.#clock = clock;
    // The same file, before and after compilation.
    this.#worker = startThread(import.meta.url, 'worker');
    this.#worker.unref();
    this.#worker.on('message', (reply: FromWorker) => this.#heard(reply));
    this.#worker.on('error', (error) => this.#logger.error({ err: error }, 'a download worker failed'));
    this.#worker.on('exit', () => this.#died());
    this.#pingLater();
  }

  get isDead(): boolean {
    return this.#isDead;
  }

  /** It may still touch what it has, but nothing new is for it. */
  get isUsable(): boolean {
    return !this.#isDead && !this.#isSilent;
  }

  busyMs(): number {
    return this.#isDead ? 0 : this.#worker.performance.eventLoopUtilization().active;
  }

  call(order: WorkerOrder, onReply: (reply: WorkerReply | Lost) => void): WorkerCall {
    const id = this.#enter(this.#calls, onReply);
    const call: WorkerCall = { id, tell: (command) => this.#tell({ about: 'call', id, command }) };
    call.tell({ kind: 'open', order });
    return call;
  }

  /** Turns a call whose head has come into a move; `onReply` gets `stopped` or `lost` as its last. */
  move(id: number, onReply: (reply: MoveReply | Lost) => void): Handle<MoveCommand> {
    this.#calls.delete(id);
    if (this.#isDead) queueMicrotask(() => onReply({ kind: 'lost' }));
    else this.#moves.set(id, onReply);
    return { id, tell: (command) => this.#tell({ about: 'move', id, command }) };
  }

  /** Hands an ingest over to be hashed. `forget` is its last command. */
  file(order: FileOrder, onReply: (reply: FileReply | Lost) => void): Handle<FileCommand> {
    const id = this.#enter(this.#files, onReply);
    const tell = (command: FileCommand): void => {
      if (command.kind === 'forget') this.#files.delete(id);
      this.#tell({ about: 'file', id, command });
    };
    tell({ kind: 'file', order });
    return { id, tell };
  }

  /** Resolves when nothing of it is left. Idempotent. */
  async end(): Promise<void> {
    if (!this.#isDead) await this.#worker.terminate();
    await this.#exited.promise;
  }

  #enter<Reply>(listeners: Map<number, (reply: Reply | Lost) => void>, onReply: (reply: Reply | Lost) => void): number {
    const id = ++this.#ids;
    if (this.#isDead) queueMicrotask(() => onReply({ kind: 'lost' }));
    else listeners.set(id, onReply);
    return id;
  }

  #tell(command: ToWorker): void {
    if (!this.#isDead) this.#worker.postMessage(command);
  }

  #heard(message: FromWorker): void {
    switch (message.about) {
      case 'call': {
        const { id, reply } = message;
        const listener = this.#calls.get(id);
        if (reply.kind === 'end') this.#calls.delete(id);
        return listener?.(reply);
      }
      case 'move': {
        const { id, reply } = message;
        const listener = this.#moves.get(id);
        if (reply.kind === 'stopped') this.#moves.delete(id);
        return listener?.(reply);
      }
      case 'file':
        return this.#files.get(message.id)?.(message.reply);
      case 'ping':
        this.#watch?.cancel();
        return this.#pingLater();
    }
  }

  #pingLater(): void {
    this.#watch = this.#clock.setTimer(pingEveryMs, () => {
      this.#tell({ about: 'ping' });
      this.#watch = this.#clock.setTimer(workerPatienceMs, () => {
        this.#isSilent = true;
        this.#logger.error({}, `a download worker has been silent for ${workerPatienceMs / 1000} s`);
        // What it has is free when it has exited, and not before: it may be in the middle of a write.
        void this.#worker.terminate();
      });
    });
  }

  #died(): void {
    this.#watch?.cancel();
    this.#isDead = true;
    for (const listeners of [this.#calls, this.#moves, this.#files] as ReadonlyArray<Map<number, Listener>>) {
      const all = [...listeners.values()];
      listeners.clear();
      for (const listener of all) listener({ kind: 'lost' });
    }
    this.#exited.resolve();
  }
}
