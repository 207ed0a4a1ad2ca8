/**
 * Answers from memory that their clients have not taken: what all connections of a thread may hold together. Beyond half of
 * it a connection that is behind is not read any further; beyond all of it those go that have taken nothing for longest.
 */
import type { Socket } from 'node:net';
import type { Clock, Timer } from '../../lib/clock.ts';
import { breakConnection } from './pipelining.ts';

/** A thread's. Whoever reads at all holds bytes for moments only. */
const defaultBudgetBytes = 32 * 1024 * 1024;
/** Between two looks at what has been taken meanwhile. */
const lookMs = 5_000;

/** Milliseconds after which a client that takes nothing of an answer from memory loses its connection. */
export const memoryStallMs = 30_000;

interface Backlog {
  /** Not taken when it was last looked at. */
  bytes: number;
  /** Taken by then, in all. */
  taken: number;
  /** Monotonic: since when nothing was taken. */
  sinceMs: number;
  readonly forget: () => void;
}

export class Backlogs {
  readonly #clock: Clock;
  readonly #budgetBytes: number;
  readonly #behind = new Map<Socket, Backlog>();
  /** An upper bound: what was taken since the last look is still in it. */
  #bytes = 0;
  #timer: Timer | undefined;

  constructor(clock: Clock, budgetBytes = defaultBudgetBytes) {
    this.#clock = clock;
    this.#budgetBytes = budgetBytes;
  }

  /** Bytes that are held, at most. */
  get bytes(): number {
    return this.#bytes;
  }

  /** More than half of the budget is in use. */
  get isTight(): boolean {
    return this.#bytes > this.#budgetBytes / 2;
  }

  /** To be called when something was written to `socket` that it did not take at once. May break connections, this one too. */
  add(socket: Socket): void {
    const bytes = socket.writableLength;
    const backlog = this.#behind.get(socket);
    this.#bytes += bytes - (backlog?.bytes ?? 0);
    if (backlog === undefined) {
      const forget = (): void => this.#forget(socket);
      this.#behind.set(socket, { bytes, taken: takenBy(socket), sinceMs: this.#clock.monotonic(), forget });
      socket.once('close', forget);
    } else backlog.bytes = bytes;
    if (this.#bytes > this.#budgetBytes) {
      this.#look();
      this.#shrink();
    }
    if (this.#behind.size > 0) this.#timer ??= this.#arm();
  }

  #arm(): Timer {
    return this.#clock.setTimer(lookMs, () => {
      this.#timer = undefined;
      this.#look();
      if (this.#behind.size > 0) this.#timer = this.#arm();
    });
  }

  #look(): void {
    const nowMs = this.#clock.monotonic();
    for (const [socket, backlog] of this.#behind) {
      const bytes = socket.writableLength;
      if (bytes === 0 || socket.destroyed) {
        this.#forget(socket);
        continue;
      }
      const taken = takenBy(socket);
      if (taken !== backlog.taken) backlog.sinceMs = nowMs;
      this.#bytes += bytes - backlog.bytes;
      backlog.bytes = bytes;
      backlog.taken = taken;
    }
  }

  /** To three quarters, so that not every further answer looks at all connections again. */
  #shrink(): void {
    const most = (this.#budgetBytes * 3) / 4;
    if (this.#bytes <= most) return;
    const slowest = [...this.#behind].toSorted(([, one], [, other]) => one.sinceMs - other.sinceMs);
    for (const [socket] of slowest) {
      if (this.#bytes <= most) return;
      this.#forget(socket);
      breakConnection(socket);
    }
  }

  #forget(socket: Socket): void {
    const backlog = this.#behind.get(socket);
    if (backlog === undefined) return;
    this.#behind.delete(socket);
    this.#bytes -= backlog.bytes;
    socket.off('close', backlog.forget);
    if (this.#behind.size > 0) return;
    this.#timer?.cancel();
    this.#timer = undefined;
  }
}

function takenBy(socket: Socket): number {
  return socket.bytesWritten - socket.writableLength;
}
