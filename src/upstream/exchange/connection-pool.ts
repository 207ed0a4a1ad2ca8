/**
 * Connections to one origin with one set of credentials. Each undici Client here holds one connection, so that for every
 * exchange it is known whether its connection was used before (then a server may just have closed it), and so that a
 * connection is used again only after somebody has said that its last exchange ended cleanly.
 */
import type { Socket } from 'node:net';
import { callbackify } from 'node:util';
import { Client } from 'undici';

/** Resolves a socket that is ready for HTTP and belongs to the caller. */
export type Dial = (signal: AbortSignal) => Promise<Socket>;

export interface ConnectionPoolOptions {
  /** Origin that undici sees: the one of the requests, or of a proxy that takes them in absolute form. */
  readonly origin: string;
  readonly dial: Dial;
  readonly maxHeaderBytes: number;
  /** How long a connection may lie idle, milliseconds; a shorter hint of the server counts. */
  readonly keepAliveMs: number;
  /** More idle connections than this are closed. */
  readonly maxIdle: number;
}

export class Connection {
  readonly client: Client;
  /** It has carried an exchange before. */
  isReused = false;
  #socket: Socket | undefined;
  readonly #dialling = new AbortController();

  constructor(options: ConnectionPoolOptions, dial: Dial, onEnd: (connection: Connection) => void) {
    const connect = callbackify(async () => {
      this.#socket = await dial(this.#dialling.signal);
      return this.#socket;
    });
    this.client = new Client(options.origin, {
      connect: (_, callback) => {
        connect((error, socket) => (error === null ? callback(null, socket) : callback(error, null)));
      },
      pipelining: 1,
      maxHeaderSize: options.maxHeaderBytes,
      keepAliveTimeout: options.keepAliveMs,
      keepAliveMaxTimeout: options.keepAliveMs,
      // The sender has clocks of its own, which do not run while our consumer is the slow one.
      headersTimeout: 0,
      bodyTimeout: 0,
    });
    this.client.on('disconnect', () => onEnd(this));
  }

  /** What went wrong with the socket, also after an exchange that looked complete. */
  get socketError(): Error | undefined {
    return this.#socket?.errored ?? undefined;
  }

  async destroy(): Promise<void> {
    this.#dialling.abort(new Error('no longer wanted'));
    await this.client.destroy();
  }
}

/** Far more origins than an upstream has at one time; each costs a little memory and perhaps a TLS session. */
const maxPools = 256;

/**
 * The pool under `key`, made if it is not there. Redirects can name origins without end, so beyond a number those without
 * a connection are forgotten.
 */
export function poolIn(pools: Map<string, ConnectionPool>, key: string, make: () => ConnectionPool): ConnectionPool {
  const known = pools.get(key);
  if (known !== undefined) return known;
  if (pools.size >= maxPools) for (const [name, pool] of pools) if (pool.size === 0) pools.delete(name);
  const made = make();
  pools.set(key, made);
  return made;
}

export class ConnectionPool {
  readonly #options: ConnectionPoolOptions;
  readonly #all = new Set<Connection>();
  /** The last one is the one used last: it is the least likely to have been closed. */
  #idle: Connection[] = [];
  #isClosed = false;

  constructor(options: ConnectionPoolOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#all.size;
  }

  /** An idle connection, or a new one, dialled by `dial`. It is the caller's until `release` or `drop`. */
  take(dial?: Dial): Connection {
    return this.#idle.pop() ?? this.fresh(dial);
  }

  /** A connection that has not been used. */
  fresh(dial: Dial = this.#options.dial): Connection {
    const connection = new Connection(this.#options, dial, (ended) => this.#forgetIdle(ended));
    this.#all.add(connection);
    return connection;
  }

  /** The exchange ended as it should: the connection may serve another. */
  async release(connection: Connection): Promise<void> {
    connection.isReused = true;
    const isUsable =
      !this.#isClosed && connection.socketError === undefined && this.#idle.length < this.#options.maxIdle;
    if (!isUsable) return this.drop(connection);
    this.#idle.push(connection);
    return undefined;
  }

  async drop(connection: Connection): Promise<void> {
    this.#all.delete(connection);
    this.#idle = this.#idle.filter((idle) => idle !== connection);
    await connection.destroy();
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.all([...this.#all].map((connection) => this.drop(connection)));
  }

  /** The server closed it, or it lay idle too long. */
  #forgetIdle(connection: Connection): void {
    if (!this.#idle.includes(connection)) return;
    // Nothing waits for an idle connection, and destroying a client without a request cannot fail.
    void this.drop(connection);
  }
}
