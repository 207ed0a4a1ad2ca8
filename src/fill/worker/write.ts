/**
 * On a download worker: one body on its way into one ingest. What arrives is gathered and written in few, large writes; the
 * first bytes of a move are written at once, and nothing waits long. Never writes beyond what was granted.
 */
import { errorCode } from '../../lib/system-error.ts';
import { PartFileWriter } from '../../store/files/part-file.ts';
import type { UpstreamError } from '../../upstream/contract/errors.ts';
import type { WorkerExchange, WorkerSink } from '../../upstream/worker/exchange.ts';
import { toWorkerFailure } from '../../upstream/contract/worker-protocol.ts';
import type { Grant, MoveCommand, MoveOrder, MoveReply } from './messages.ts';
import type { ThreadHash } from './hash.ts';

/** Measured: less costs calls, more leaves readers waiting. */
const gatherBytes = 512 * 1024;
const gatherMs = 3;

export class ThreadMove implements WorkerSink {
  readonly #exchange: WorkerExchange;
  readonly #path: string;
  readonly #hash: ThreadHash | undefined;
  readonly #reply: (reply: MoveReply) => void;
  readonly #buffers: BufferStack;
  #hand: PartFileWriter | undefined;
  /** Everything before this is in the file. */
  #position: number;
  #skipBytes: number;
  #grant: Grant;
  #buffer: Buffer | undefined;
  #gathered = 0;
  #hasWritten = false;
  /** Came beyond what is granted. */
  #rest: Uint8Array | undefined;
  #timer: NodeJS.Timeout | undefined;
  #isStuck = false;
  #isStopped = false;
  #ending: { readonly error: UpstreamError | undefined } | undefined;

  constructor(
    order: MoveOrder,
    exchange: WorkerExchange,
    hash: ThreadHash | undefined,
    buffers: BufferStack,
    reply: (reply: MoveReply) => void,
  ) {
    this.#exchange = exchange;
    this.#path = order.path;
    this.#hash = hash;
    this.#buffers = buffers;
    this.#reply = reply;
    this.#position = order.position;
    this.#grant = order.grant;
    this.#skipBytes = order.skipBytes;
  }

  obey(command: Exclude<MoveCommand, { kind: 'move' }>): void {
    if (this.#isStopped) return;
    switch (command.kind) {
      case 'grant':
        // Too late: what came behind the last byte wanted is dropped, and what comes next would take its place.
        if (this.#isFull) return;
        this.#grant = command.grant;
        return this.#goOn();
      case 'stop':
        this.#flush();
        return this.#close('granted');
      case 'retry':
        this.#isStuck = false;
        this.#flush();
        return this.#goOn();
    }
  }

  data(bytes: Uint8Array): boolean {
    if (this.#isStopped) return false;
    const skipped = Math.min(this.#skipBytes, bytes.byteLength);
    this.#skipBytes -= skipped;
    const left = this.#gather(skipped === 0 ? bytes : bytes.subarray(skipped));
    if (left.byteLength > 0 && !this.#isFull) this.#rest = Uint8Array.from(left);
    // Destroying the exchange from inside its parser is not allowed.
    if (this.#isFull) setImmediate(() => this.#finishIfFull());
    return this.#mayGather;
  }

  end(error: UpstreamError | undefined): void {
    if (this.#isStopped) return;
    this.#ending = { error };
    this.#endIfDone();
  }

  /** All that is wanted is here. */
  get #isFull(): boolean {
    return this.#grant.isLast && this.#position + this.#gathered >= this.#grant.to;
  }

  get #mayGather(): boolean {
    return !this.#isStuck && this.#rest === undefined && this.#position + this.#gathered < this.#grant.to;
  }

  /** Takes what is granted and fits, writing as it fills. Returns what is left. */
  #gather(bytes: Uint8Array): Uint8Array {
    let left = bytes;
    while (left.byteLength > 0 && !this.#isStuck) {
      const granted = this.#grant.to - this.#position - this.#gathered;
      const take = Math.min(left.byteLength, gatherBytes - this.#gathered, granted);
      if (take <= 0) break;
      this.#buffer ??= this.#buffers.take();
      this.#buffer.set(take === left.byteLength ? left : left.subarray(0, take), this.#gathered);
      this.#gathered += take;
      left = left.subarray(take);
      if (this.#gathered === gatherBytes || !this.#hasWritten) this.#flush();
    }
    if (this.#gathered > 0) this.#timer ??= setTimeout(() => this.#flush(), gatherMs);
    return left;
  }

  /** Writes what is gathered, says so, and then hashes it: readers need not wait for that. */
  #flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const buffer = this.#buffer;
    if (buffer === undefined || this.#gathered === 0 || this.#isStuck || this.#isStopped) return;
    const bytes = buffer.subarray(0, this.#gathered);
    const start = this.#position;
    try {
      this.#hand ??= new PartFileWriter(this.#path);
      this.#hand.write(bytes, start);
    } catch (error) {
      this.#isStuck = true;
      return this.#reply({ kind: 'stuck', code: errorCode(error) ?? 'unknown error' });
    }
    this.#position += bytes.byteLength;
    this.#gathered = 0;
    this.#hasWritten = true;
    const received = this.#exchange.takeReceived();
    this.#reply({ kind: 'moved', to: this.#position, hashed: this.#hash?.position ?? 0, received });
    this.#hash?.wrote(start, this.#position, bytes);
  }

  /** Something that held it up is gone. */
  #goOn(): void {
    const rest = this.#rest;
    this.#rest = undefined;
    if (rest !== undefined) {
      const left = this.#gather(rest);
      if (left.byteLength > 0 && !this.#isFull) this.#rest = left;
    }
    if (this.#isFull) return this.#finishIfFull();
    if (this.#mayGather && this.#ending === undefined) this.#exchange.resume();
    return this.#endIfDone();
  }

  /** The last byte wanted is here. If it is also the last of the body, its end comes by itself and saves the connection. */
  #finishIfFull(): void {
    if (this.#isStopped || !this.#isFull) return;
    if (this.#exchange.isComplete && this.#ending === undefined) this.#exchange.resume();
    else this.#finish('granted');
  }

  #endIfDone(): void {
    if (this.#ending === undefined || this.#rest !== undefined || this.#isStuck) return;
    const { error } = this.#ending;
    // What comes after the last byte wanted is no news about those before it.
    if (error === undefined || this.#isFull) this.#finish('ended');
    else this.#finish('failed', error);
  }

  #finish(why: 'granted' | 'ended' | 'failed', error?: UpstreamError): void {
    this.#flush();
    // When the disk does not take it, whoever decides about that is asked first.
    if (!this.#isStuck) this.#close(why, error);
  }

  #close(why: 'granted' | 'ended' | 'failed', error?: UpstreamError): void {
    this.#isStopped = true;
    clearTimeout(this.#timer);
    this.#exchange.abort();
    this.#hand?.close();
    if (this.#buffer !== undefined) this.#buffers.give(this.#buffer);
    this.#buffer = undefined;
    this.#reply({
      kind: 'stopped',
      to: this.#position,
      hashed: this.#hash?.position ?? 0,
      received: this.#exchange.takeReceived(),
      why,
      ...(error !== undefined && { failure: toWorkerFailure(error) }),
    });
  }
}

/** Gathering buffers that wait for the next move. */
export class BufferStack {
  readonly #free: Buffer[] = [];

  take(): Buffer {
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(gatherBytes);
  }

  give(buffer: Buffer): void {
    if (this.#free.length < 8) this.#free.push(buffer);
  }
}
