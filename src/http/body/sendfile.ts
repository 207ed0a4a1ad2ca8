/**
 * Bodies by sendfile(2): the kernel moves a file's pages into a socket, and no byte of them passes through here. Plain HTTP
 * on Linux only. Everything that can go wrong with it ends in the buffers that all other bodies take.
 *
 * The rules, each learnt from a failure: only a duplicate of the socket's descriptor is used, because Node closes its own
 * when the client leaves, and the next connection may get the number while a call is in flight; nothing else writes to the
 * socket meanwhile; and a call waits its turn. What lies in memory is sent from this thread, one step in each turn of the
 * event loop: a thread's hand-over costs as much as the call. What has to be read from a disk is sent from libuv's pool, of
 * which half stays free for opening files.
 */
import type { Socket } from 'node:net';
import { setImmediate } from 'node:timers/promises';
import { BrokenBodyError } from '../../fill/contract/errors.ts';
import type { Logger } from '../../lib/log.ts';
import { Semaphore } from '../../lib/semaphore.ts';
import { FdTable, fdTableMemory } from './duplicated-sockets.ts';
import { type Libc, type LoadKoffi, loadLibc, SystemCallError } from './libc.ts';

/** What one call on the pool may move: it holds a thread for as long as the disk takes. */
const stepBytes = 1024 * 1024;
/** What one call on this thread may move, in 0.1 to 0.2 ms in which nothing else happens: a write through buffers takes as long. */
const stepNowBytes = 512 * 1024;

export interface SendfileOptions {
  readonly logger: Logger;
  /** Calls at once: at most half of the thread pool, divided by the threads of the process that serve. */
  readonly concurrency: number;
  /** Where duplicates are entered; of this thread alone. Default: memory that nobody else sees. */
  readonly memory?: SharedArrayBuffer;
  readonly load?: LoadKoffi;
}

export class Sendfile {
  /** Calls on the pool. */
  readonly turns: Semaphore;
  /** The one call on this thread that the next turn of the event loop makes. */
  readonly loopTurns = new Semaphore(1);
  readonly table: FdTable;
  readonly libc: Libc;
  readonly #logger: Logger;
  #hasWarned = false;

  constructor(libc: Libc, { logger, concurrency, memory = fdTableMemory() }: SendfileOptions) {
    this.libc = libc;
    this.turns = new Semaphore(concurrency);
    this.table = new FdTable(memory);
    this.#logger = logger;
  }

  /** Undefined where it cannot be had, after a line in the log if it should be. Never rejects. */
  static async load(options: SendfileOptions): Promise<Sendfile | undefined> {
    try {
      const libc = await loadLibc(options.load);
      return libc === undefined ? undefined : new Sendfile(libc, options);
    } catch (error) {
      options.logger.warn({ err: error }, 'sendfile cannot be used; bodies pass through buffers');
      return undefined;
    }
  }

  /** A way into `socket` past its owner, or undefined if there is none. The caller closes it. */
  open(socket: Socket | null): Outlet | undefined {
    if (socket === null || socket.destroyed || 'encrypted' in socket || this.table.isFull) return undefined;
    const fd = fdOf(socket);
    if (fd === undefined) return undefined;
    try {
      return new Outlet(this, this.libc.duplicate(fd));
    } catch (error) {
      this.warn(error);
      return undefined;
    }
  }

  /** Once: what fails for one body fails for all. */
  warn(error: unknown): void {
    if (this.#hasWarned) return;
    this.#hasWarned = true;
    this.#logger.warn({ err: error }, 'a body could not be sent by sendfile; it passed through buffers');
  }
}

/** The duplicate of one socket, for one body. Used by one caller, one call at a time. */
export class Outlet {
  readonly #sendfile: Sendfile;
  readonly #fd: number;
  readonly #place: number;
  #isUsable = true;
  #isFull = false;
  #isClosed = false;

  constructor(sendfile: Sendfile, fd: number) {
    this.#sendfile = sendfile;
    this.#fd = fd;
    this.#place = sendfile.table.enter(fd);
  }

  /** False after a failure that trying again would only repeat. */
  get isUsable(): boolean {
    return this.#isUsable;
  }

  /**
   * Sends at most `length` bytes of `file`, as many as the socket takes at once. Resolves their number; 0 when it takes
   * none now, or never will (`isUsable`): the caller's own write then waits, or finds out why. Everything written before
   * must have left. Rejects with BrokenBodyError when the file ends at `position`.
   */
  async send(file: number, position: number, length: number): Promise<number> {
    const wasFull = this.#isFull;
    this.#isFull = false;
    // Asking again at once would be for the little that has left since.
    if (wasFull) return 0;
    try {
      const { sent, asked } = await this.#step(file, position, length);
      if (sent === 0) throw new BrokenBodyError(`the file ends at ${position}`);
      this.#isFull = sent < asked;
      return sent;
    } catch (error) {
      if (!(error instanceof SystemCallError)) throw error;
      if (error.code === 'EAGAIN' || error.code === 'EINTR') return 0;
      this.#isUsable = false;
      // The client has left.
      if (error.code !== 'EPIPE' && error.code !== 'ECONNRESET') this.#sendfile.warn(error);
      return 0;
    }
  }

  async #step(file: number, position: number, length: number): Promise<{ sent: number; asked: number }> {
    const { turns, loopTurns, libc } = this.#sendfile;
    const now = Math.min(length, stepNowBytes);
    if (libc.isCached(file, position, now)) {
      using _turn = loopTurns.tryAcquire() ?? (await loopTurns.acquire());
      await setImmediate();
      return { sent: libc.sendfileNow(this.#fd, file, position, now), asked: now };
    }
    const asked = Math.min(length, stepBytes);
    using _turn = turns.tryAcquire() ?? (await turns.acquire());
    return { sent: await libc.sendfile(this.#fd, file, position, asked), asked };
  }

  /** Not while a call is in flight. Idempotent. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#sendfile.table.leave(this.#place);
    this.#sendfile.libc.close(this.#fd);
  }
}

/** Node does not say it in public. */
function fdOf(socket: Socket): number | undefined {
  const { _handle: handle } = socket as Socket & { readonly _handle?: { readonly fd?: number } | null };
  const fd = handle?.fd;
  return fd === undefined || fd < 0 ? undefined : fd;
}
