/** The far end of a line: the calls that its thread is carrying, and the connections that it keeps for the next ones. */
import type { Clock } from '../../lib/clock.ts';
import { ConnectionPool, type Dial, poolIn } from '../exchange/connection-pool.ts';
import { UpstreamError } from '../contract/errors.ts';
import { failure } from '../contract/failure.ts';
import { WorkerExchange } from './exchange.ts';
import { TlsContexts, dialInWorker } from './dial.ts';
import {
  fromWorkerFailure,
  type WorkerCommand,
  type WorkerFailure,
  type WorkerOrder,
  type WorkerReply,
  type WorkerRoute,
  toWorkerFailure,
} from '../contract/worker-protocol.ts';
import { keepAliveMs, maxHeaderBytes, maxIdlePerPool } from '../exchange/pool-sender.ts';

/** More than this, or for longer, is not read just to keep a connection. */
const discardLimit = { bytes: 64 * 1024, ms: 1000 };

const givenUp: WorkerFailure = { kind: 'aborted', message: 'given up by us' };

interface Call {
  readonly exchange: WorkerExchange;
  /** Whoever waits to hear where to connect to. */
  route: PromiseWithResolvers<WorkerRoute> | undefined;
}

export class WorkerServer {
  readonly #clock: Clock;
  readonly #reply: (call: number, reply: WorkerReply) => void;
  readonly #calls = new Map<number, Call>();
  readonly #pools = new Map<string, ConnectionPool>();
  readonly #contexts = new TlsContexts();

  constructor(clock: Clock, reply: (call: number, reply: WorkerReply) => void) {
    this.#clock = clock;
    this.#reply = reply;
  }

  obey(id: number, command: WorkerCommand): void {
    if (command.kind === 'open') return this.#open(id, command.order);
    const call = this.#calls.get(id);
    // It has ended, and the word about that is on its way.
    if (call === undefined) return undefined;
    switch (command.kind) {
      case 'route':
        if ('addresses' in command.route) call.route?.resolve(command.route);
        else call.route?.reject(command.route);
        return undefined;
      case 'ask':
        // Behind everything that this turn of the loop finds arrived.
        setImmediate(() => this.#calls.get(id) === call && this.#reply(id, { kind: 'nothing' }));
        return undefined;
      case 'read':
        return this.#read(id, call);
      case 'discard':
        return this.#discard(id, call);
      case 'abort':
        call.route?.reject(givenUp);
        return this.#abort(id, call);
    }
  }

  /** The exchange of a call whose head has been told; it belongs to the caller, and the call is over. */
  take(id: number): WorkerExchange | undefined {
    const exchange = this.#calls.get(id)?.exchange;
    this.#calls.delete(id);
    return exchange;
  }

  /** Ends every call and every connection. */
  async close(): Promise<void> {
    for (const [id, call] of this.#calls) this.#abort(id, call);
    await Promise.all([...this.#pools.values()].map((pool) => pool.close()));
  }

  #open(id: number, order: WorkerOrder): void {
    const call: Call = { exchange: new WorkerExchange(order, this.#poolOf(order), this.#clock), route: undefined };
    this.#calls.set(id, call);
    this.#reply(id, { kind: 'begun' });
    const dial: Dial = async (signal) => {
      call.route = Promise.withResolvers();
      this.#reply(id, { kind: 'dial' });
      let route: WorkerRoute;
      try {
        route = await call.route.promise;
      } catch (cause) {
        throw fromWorkerFailure(cause as WorkerFailure, order.upstream);
      }
      return dialInWorker(order, route, this.#contexts, this.#clock, signal);
    };
    // Owned here: a failure is told to the other side.
    void call.exchange.open(dial).then(
      ({ status, headers }) => this.#calls.has(id) && this.#reply(id, { kind: 'head', status, headers }),
      (error: unknown) =>
        this.#end(id, call, toWorkerFailure(error instanceof UpstreamError ? error : unexpected(error, order))),
    );
  }

  /** One piece, and then the body waits again. */
  #read(id: number, call: Call): void {
    call.exchange.pipe({
      data: (bytes) => {
        this.#reply(id, { kind: 'chunk', bytes: Uint8Array.from(bytes) });
        return false;
      },
      end: (error) => this.#end(id, call, error && toWorkerFailure(error)),
    });
  }

  #discard(id: number, call: Call): void {
    const { exchange } = call;
    let left = discardLimit.bytes;
    if ((exchange.declaredBytes ?? 0) > left) return this.#abort(id, call);
    const timer = this.#clock.setTimer(discardLimit.ms, () => exchange.abort());
    exchange.pipe({
      data: (bytes) => {
        left -= bytes.byteLength;
        if (left < 0) queueMicrotask(() => exchange.abort());
        return left >= 0;
      },
      end: (error) => {
        timer.cancel();
        this.#end(id, call, error && toWorkerFailure(error));
      },
    });
    return undefined;
  }

  #abort(id: number, call: Call): void {
    // A body that was given up must not look like one that came to its end.
    this.#end(id, call, givenUp);
    call.exchange.abort();
  }

  #end(id: number, call: Call, failed?: WorkerFailure): void {
    if (!this.#calls.delete(id)) return;
    const received = call.exchange.takeReceived();
    this.#reply(id, { kind: 'end', received, ...(failed !== undefined && { failure: failed }) });
  }

  #poolOf({ pool: key, origin }: WorkerOrder): ConnectionPool {
    const dial: Dial = () => Promise.reject(new Error('a line dials for a call only'));
    const options = { origin, dial, maxHeaderBytes, keepAliveMs, maxIdle: maxIdlePerPool };
    return poolIn(this.#pools, key, () => new ConnectionPool(options));
  }
}

function unexpected(cause: unknown, { upstream }: WorkerOrder): UpstreamError {
  return failure('badResponse', upstream, 'unexpected failure', cause);
}
