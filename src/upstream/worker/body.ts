/** The near side of a body on a line: read piece by piece, dropped, or left to somebody who moves it on the far side. */
import type { UpstreamError } from '../contract/errors.ts';
import { failure } from '../contract/failure.ts';
import {
  fromWorkerFailure,
  type ExchangeWorker,
  type WorkerBody,
  type WorkerCall,
  type WorkerReply,
} from '../contract/worker-protocol.ts';

type Reply = WorkerReply | { readonly kind: 'lost' };

export interface CallBodyOptions {
  readonly upstream: string;
  readonly onBytes: (bytes: number) => void;
  readonly signal: AbortSignal;
  readonly onMoved: () => void;
}

export class CallBody implements AsyncIterable<Uint8Array> {
  readonly #call: WorkerCall;
  readonly #worker: ExchangeWorker;
  readonly #options: CallBodyOptions;
  readonly #over = Promise.withResolvers<void>();
  readonly #onAbort = (): void => this.abort();
  #reading: PromiseWithResolvers<Uint8Array | undefined> | undefined;
  #end: Reply | undefined;
  #isMoved = false;

  constructor(call: WorkerCall, worker: ExchangeWorker, options: CallBodyOptions) {
    this.#call = call;
    this.#worker = worker;
    this.#options = options;
    options.signal.addEventListener('abort', this.#onAbort, { once: true });
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, undefined> {
    try {
      for (;;) {
        const bytes = await this.#read();
        if (bytes === undefined) return;
        yield bytes;
      }
    } finally {
      this.abort();
    }
  }

  discard(): Promise<void> {
    if (this.#end === undefined) this.#call.tell({ kind: 'discard' });
    return this.#over.promise;
  }

  abort(): void {
    if (this.#end === undefined && !this.#isMoved) this.#call.tell({ kind: 'abort' });
  }

  chunk(bytes: Uint8Array): void {
    this.#options.onBytes(bytes.byteLength);
    this.#reading?.resolve(bytes);
    this.#reading = undefined;
  }

  over(end: Reply): void {
    this.#end = end;
    this.#options.signal.removeEventListener('abort', this.#onAbort);
    this.#over.resolve();
    // The reader sees the end when it asks again.
    const reading = this.#reading;
    this.#reading = undefined;
    if (reading !== undefined) this.#settle(reading, end);
  }

  /** For somebody who moves it on the far side. */
  move(): Omit<WorkerBody, 'pay' | 'stepBytes' | 'wanted' | 'ended'> {
    this.#isMoved = true;
    this.#options.onMoved();
    this.#options.signal.removeEventListener('abort', this.#onAbort);
    const abort = (): void => this.#call.tell({ kind: 'abort' });
    return { worker: this.#worker, call: this.#call.id, received: this.#options.onBytes, abort };
  }

  #read(): Promise<Uint8Array | undefined> {
    const reading = Promise.withResolvers<Uint8Array | undefined>();
    if (this.#end !== undefined) this.#settle(reading, this.#end);
    else {
      this.#reading = reading;
      this.#call.tell({ kind: 'read' });
    }
    return reading.promise;
  }

  #settle(reading: PromiseWithResolvers<Uint8Array | undefined>, end: Reply): void {
    const { upstream } = this.#options;
    const isClean = end.kind === 'end' && end.failure === undefined;
    if (isClean) reading.resolve(undefined);
    else reading.reject(errorOf(end, upstream));
  }
}

/** Why there is no more of an exchange. */
export function errorOf(end: Reply, upstream: string): UpstreamError {
  const found = end.kind === 'end' ? end.failure : undefined;
  if (found !== undefined) return fromWorkerFailure(found, upstream);
  return failure('cut', upstream, end.kind === 'lost' ? 'the thread that carried it has died' : 'given up by us');
}
