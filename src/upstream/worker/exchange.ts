/** The far side of one call on a line: one exchange, with its body held back until somebody says what becomes of it. */
import type { Dispatcher } from 'undici';
import type { Clock } from '../../lib/clock.ts';
import type { Connection, ConnectionPool } from '../exchange/connection-pool.ts';
import { UpstreamError } from '../contract/errors.ts';
import { bodyFailure, failure, headFailure, isLeftover } from '../contract/failure.ts';
import { framingProblem, parseContentLength } from '../../headers/content-length.ts';
import type { WorkerOrder } from '../contract/worker-protocol.ts';
import { isSuspicious } from '../exchange/pool-sender.ts';
import { StallWatch } from '../contract/stall-watch.ts';

/** Takes a body. Called from inside the parser: it must neither throw nor call back into the exchange. */
export interface WorkerSink {
  /** The bytes are overwritten when this returns. False: no more until `resume`. */
  data(bytes: Uint8Array): boolean;
  /** Once, after the last byte. */
  end(error: UpstreamError | undefined): void;
}

export interface WorkerHead {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
}

export class WorkerExchange {
  readonly #order: WorkerOrder;
  readonly #pool: ConnectionPool;
  readonly #watch: StallWatch;
  #connection: Connection | undefined;
  #controller: Dispatcher.DispatchController | undefined;
  #sink: WorkerSink | undefined;
  /** Came while nobody wanted it: what was read together with the head, and what a closing connection had left. */
  #held: Uint8Array[] = [];
  #ending: { readonly error: UpstreamError | undefined } | undefined;
  #failure: UpstreamError | undefined;
  #declaredBytes: number | undefined;
  #receivedBytes = 0;
  #reportedBytes = 0;
  #isPaused = true;
  #isOver = false;

  constructor(order: WorkerOrder, pool: ConnectionPool, clock: Clock) {
    this.#order = order;
    this.#pool = pool;
    const { bodyLimits, patience, upstream } = order;
    const stalled = (reason: string): void =>
      this.#fail(failure('timeout', upstream, `body from ${this.#place}: ${reason}`));
    this.#watch = new StallWatch(bodyLimits, clock, stalled, patience);
  }

  /** Bytes of the body since the last call of this. */
  takeReceived(): number {
    const bytes = this.#receivedBytes - this.#reportedBytes;
    this.#reportedBytes = this.#receivedBytes;
    return bytes;
  }

  get declaredBytes(): number | undefined {
    return this.#declaredBytes;
  }

  /** Everything that the head announced has come. */
  get isComplete(): boolean {
    return this.#ending !== undefined || this.#receivedBytes === this.#declaredBytes;
  }

  /** Once, and once more where an earlier exchange on the same connection may be to blame. Rejects with UpstreamError. */
  async open(dial: ConnectionDial): Promise<WorkerHead> {
    const connection = this.#pool.take(dial);
    const { isReused } = connection;
    try {
      return await this.#exchange(connection);
    } catch (error) {
      if (!isReused || this.#isOver || !(error instanceof UpstreamError) || !isLeftover(error)) throw error;
      return this.#exchange(this.#pool.fresh(dial));
    }
  }

  /** Says where the body goes, and lets it come. */
  pipe(sink: WorkerSink): void {
    this.#sink = sink;
    this.resume();
  }

  resume(): void {
    if (!this.#isPaused || !this.#deliverHeld()) return;
    this.#isPaused = false;
    if (this.#ending !== undefined || this.#controller === undefined) return;
    this.#watch.waiting();
    this.#controller.resume();
  }

  /** No more bytes until `resume`; to be called where `data` would have returned false. */
  pause(): void {
    this.#isPaused = true;
  }

  /** Destroys the connection unless the exchange is over. Idempotent. */
  abort(): void {
    this.#fail(failure('aborted', this.#order.upstream, 'given up by us'));
  }

  get #place(): string {
    return `${this.#order.origin}${this.#order.path.split('?', 1)[0]}`;
  }

  async #exchange(connection: Connection): Promise<WorkerHead> {
    const { upstream } = this.#order;
    this.#connection = connection;
    if (this.#isOver) {
      await this.#pool.drop(connection);
      throw this.#failure ?? failure('aborted', upstream, 'given up by us');
    }
    const head = await this.#dispatch(connection).catch(async (cause: unknown) => {
      await this.#pool.drop(connection);
      throw this.#failure ?? headFailure(cause, upstream, this.#place);
    });
    const problem = framingProblem(head.headers);
    if (problem !== undefined) {
      const message = `${this.#place}: ${problem}`;
      const error = new UpstreamError('badResponse', message, { upstream, isFraming: true });
      this.#fail(error);
      throw error;
    }
    this.#declaredBytes = parseContentLength(head.headers['content-length']);
    return head;
  }

  #dispatch({ client }: Connection): Promise<WorkerHead> {
    const { path, headers } = this.#order;
    return new Promise((resolve, reject) => {
      let hasHead = false;
      client.dispatch(
        { method: 'GET', path, headers },
        {
          onRequestStart: (controller) => {
            this.#controller = controller;
          },
          onResponseStart: (controller, status, answered) => {
            if (status < 200) return;
            hasHead = true;
            controller.pause();
            resolve({ status, headers: answered });
          },
          onResponseData: (controller, bytes) => {
            if (!this.#data(bytes)) controller.pause();
          },
          onResponseEnd: () => {
            this.#watch.end();
            // What follows the body in the same read shows only when the parser has returned.
            setImmediate(() => this.#complete());
          },
          onResponseError: (_, cause) => {
            if (hasHead) this.#fail(bodyFailure(cause, this.#order.upstream, this.#place));
            else reject(cause);
          },
        },
      );
    });
  }

  #data(bytes: Uint8Array): boolean {
    if (this.#isOver) return false;
    // The parser says so when it is resumed; whoever waits for bytes has got none.
    if (bytes.byteLength === 0) return !this.#isPaused;
    this.#watch.arrived(bytes.byteLength);
    this.#receivedBytes += bytes.byteLength;
    if (this.#isPaused || this.#sink === undefined) {
      this.#held.push(Uint8Array.from(bytes));
      return false;
    }
    if (!this.#sink.data(bytes)) this.#isPaused = true;
    else this.#watch.waiting();
    return !this.#isPaused;
  }

  /** True when nothing is held any more and more may come. */
  #deliverHeld(): boolean {
    const sink = this.#sink;
    if (sink === undefined) return false;
    for (let held = this.#held.shift(); held !== undefined; held = this.#held.shift()) {
      if (!sink.data(held)) return false;
    }
    if (this.#ending !== undefined) this.#tellEnd(sink, this.#ending.error);
    return true;
  }

  /** The parser has seen the end of the body. */
  #complete(): void {
    const connection = this.#connection;
    if (this.#isOver || connection === undefined) return;
    const { upstream } = this.#order;
    const place = `body from ${this.#place}`;
    const declared = this.#declaredBytes;
    const cause = isSuspicious(connection.socketError) ? connection.socketError : undefined;
    if (cause !== undefined) {
      // A body without length looks complete when its connection is reset, and a longer one than declared is clipped.
      const kind = declared === undefined ? 'cut' : 'badResponse';
      return this.#fail(failure(kind, upstream, `${place}: followed by something else`, cause));
    }
    this.#isOver = true;
    // Neither fails, and nobody waits for it.
    void this.#pool.release(connection);
    return this.#end(undefined);
  }

  #fail(error: UpstreamError): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#failure = error;
    this.#watch.end();
    if (this.#connection !== undefined) void this.#pool.drop(this.#connection);
    if (error.kind === 'aborted') this.#held = [];
    this.#end(error);
  }

  #end(error: UpstreamError | undefined): void {
    this.#ending = { error };
    if (this.#held.length === 0 && this.#sink !== undefined) this.#tellEnd(this.#sink, error);
  }

  #tellEnd(sink: WorkerSink, error: UpstreamError | undefined): void {
    this.#sink = undefined;
    sink.end(error);
  }
}

type ConnectionDial = Parameters<ConnectionPool['take']>[0];
