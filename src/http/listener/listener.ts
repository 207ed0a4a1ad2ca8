/**
 * One listener: raw node:http with limits that suit registries, strict about what a request is, and an orderly end.
 */
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { type AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { ClientAddresses } from '../../lib/sharing/client-address.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Logger } from '../../lib/log.ts';
import { ConnectionShares } from './connection-shares.ts';
import { forwardedFor } from '../request/exchange.ts';
import { FirstByte } from './first-byte.ts';
import { listenError } from './listen-error.ts';
import { createServer, defaultKeepAliveMs, type ServerLimits } from './node-server.ts';
import { breakConnection, inTurn, type RequestHandler } from './pipelining.ts';
import { refusalFor, refuseRaw } from './raw-refusal.ts';

/** Serves connections that speak HTTP in a way it knows. */
export interface ConnectionTaker {
  /** Takes a new connection; `leave` hands it on. */
  take(socket: Socket, leave: () => void): void;
  /** Closes what is idle, and whatever still comes. */
  drain(): void;
}

export interface ListenOptions extends Omit<ServerLimits, 'headTimeoutMs' | 'keepAliveMs'> {
  readonly host: string;
  /** 0 takes any free port. */
  readonly port: number;
  /** Others of this process listen there too (SO_REUSEPORT). Default false. */
  readonly isPortShared?: boolean;
  readonly handler: RequestHandler;
  /** Sees each connection first, ready for HTTP, and hands on what is not for it. */
  readonly hotPath?: ConnectionTaker | undefined;
  /** Connections at which room is made for new ones, or they are reset at once; undefined for no limit. */
  readonly maxConnections?: number | undefined;
  /** Of these connections, where others have to know of them as well. */
  readonly shares?: ConnectionShares | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Default 20,000. */
  readonly headTimeoutMs?: number;
  /** Default 620,000. */
  readonly keepAliveMs?: number;
}

const defaultHeadTimeoutMs = 20_000;
const complaintIntervalMs = 10_000;

export class Listener {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  /** The one answer that each busy connection is giving; what waits behind it is not in here. */
  readonly #answers = new Map<Socket, ServerResponse>();
  /** Those that can be spoken to: over TLS, after the handshake. */
  readonly #ready = new WeakSet<Duplex>();
  readonly #firstByte: FirstByte;
  readonly #shares: ConnectionShares;
  readonly #options: ListenOptions;
  #isDraining = false;
  #complainedAtMs = Number.NEGATIVE_INFINITY;

  private constructor(server: Server, options: ListenOptions, headTimeoutMs: number) {
    this.#server = server;
    this.#options = options;
    this.#firstByte = new FirstByte(options.clock, headTimeoutMs);
    this.#shares = options.shares ?? new ConnectionShares({ clients: new ClientAddresses(), ...options });
    const turn = inTurn((req, res) => this.#handle(req, res));
    server.on('request', turn);
    // Neither is told to go on: the answer comes without what they would send.
    server.on('checkContinue', turn);
    server.on('checkExpectation', turn);
    const ready = options.tls === undefined ? 'connection' : 'secureConnection';
    const { hotPath, clock } = options;
    if (options.tls !== undefined) before(server, 'connection', (socket, goOn) => this.#firstByte.await(socket, goOn));
    if (hotPath !== undefined) before(server, ready, (socket, goOn) => hotPath.take(socket, goOn));
    server.on('connection', (socket) => this.#track(socket));
    server.on(ready, (socket: Socket) => {
      this.#ready.add(socket);
      this.#shares.ready(socket);
      this.#watchEnd(socket);
    });
    server.on('clientError', (error, socket) => this.#refuse(error, socket));
    server.on('connect', ({ socket }) => {
      // Behind another request nobody could tell whose answer this is.
      if (this.#answers.has(socket)) breakConnection(socket);
      else refuseRaw(socket, 'connect', clock);
    });
    before(server, 'connection', (socket, goOn) => this.#admit(socket, goOn));
  }

  /** Rejects with ListenError. Resolves when connections are accepted. */
  static async listen(options: ListenOptions): Promise<Listener> {
    const { headTimeoutMs = defaultHeadTimeoutMs, keepAliveMs = defaultKeepAliveMs } = options;
    const server = createServer({ ...options, headTimeoutMs, keepAliveMs });
    const listener = new Listener(server, options, headTimeoutMs);
    await new Promise<void>((resolve, reject) => {
      const onError = (error: Error): void => reject(listenError(options, error));
      server.once('error', onError);
      const { host, port, isPortShared = false } = options;
      server.listen({ host, port, backlog: 4096, reusePort: isPortShared }, () => {
        server.off('error', onError);
        // After listening, errors are about single accepts, e.g. too many open files: they pass.
        server.on('error', (error) => options.logger.error({ err: error, listener: options.name }, 'listener error'));
        resolve();
      });
    });
    return listener;
  }

  get address(): { readonly host: string; readonly port: number } {
    const address = this.#server.address() as AddressInfo;
    return { host: address.address, port: address.port };
  }

  /** Open connections. */
  get connections(): number {
    return this.#sockets.size;
  }

  /**
   * Accepts nothing any more, closes idle connections, and waits until the answers in progress are out; when `deadline`
   * aborts, those that are not are broken off. Resolves the number of connections that had to be broken. Call it once.
   */
  async drain(deadline: AbortSignal): Promise<number> {
    this.#isDraining = true;
    this.#options.hotPath?.drain();
    this.#firstByte.drain();
    const closed = new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
    });
    for (const res of this.#answers.values()) res.shouldKeepAlive = false;
    let broken = 0;
    const breakOff = (): void => {
      broken = this.#sockets.size;
      for (const socket of this.#sockets) breakConnection(socket);
    };
    deadline.addEventListener('abort', breakOff, { once: true });
    if (deadline.aborted) breakOff();
    await closed;
    deadline.removeEventListener('abort', breakOff);
    return broken;
  }

  #handle(req: IncomingMessage, res: ServerResponse): void {
    const { socket } = req;
    this.#answers.set(socket, res);
    this.#shares.began(socket, forwardedFor(req));
    res.once('close', () => this.#shares.ended(socket));
    if (req.httpVersionMajor !== 1) {
      refuseRaw(socket, 'version', this.#options.clock);
      return;
    }
    // Node has lost what came in one packet behind an offer to upgrade: nothing that follows can be trusted.
    if (this.#isDraining || req.headers.upgrade !== undefined) res.shouldKeepAlive = false;
    res.once('close', () => {
      if (this.#answers.get(socket) === res) this.#answers.delete(socket);
      // The head may have promised to keep the connection, before the end was known.
      if (this.#isDraining) setImmediate(() => this.#server.closeIdleConnections());
    });
    this.#options.handler(req, res);
  }

  #admit(socket: Socket, goOn: () => void): void {
    if (this.#shares.admit(socket)) {
      goOn();
      return;
    }
    this.#complain();
    socket.on('error', () => undefined);
    socket.resetAndDestroy();
  }

  #track(socket: Socket): void {
    this.#sockets.add(socket);
    socket.once('close', () => this.#sockets.delete(socket));
  }

  /**
   * A client that closes its side has left. Node would end ours, and an HTTP/1.0 client would take that for the end of a
   * body that is not.
   */
  #watchEnd(socket: Socket): void {
    socket.prependListener('end', () => {
      if (this.#answers.has(socket)) breakConnection(socket);
    });
  }

  /** Clients see a reset without a word, so that the operator must be told, but not once for each. */
  #complain(): void {
    const { clock, logger, name, maxConnections } = this.#options;
    const now = clock.monotonic();
    if (now - this.#complainedAtMs < complaintIntervalMs) return;
    this.#complainedAtMs = now;
    logger.warn(
      { listener: name, maxConnections },
      'connections are closed at once: as many are open as the limit on open files allows (ulimit -n, LimitNOFILE)',
    );
  }

  /** What the parser refuses. Answered only where that cannot end up in the middle of another answer. */
  #refuse(error: NodeJS.ErrnoException, socket: Duplex): void {
    // Something behind a request that asked for the end: it gets no answer, but the request does, and then the end comes.
    if (error.code === 'HPE_CLOSED_CONNECTION') return;
    const answer = socket instanceof Socket ? this.#answers.get(socket) : undefined;
    // A request that breaks in its own body can still be told so; one behind another answer cannot.
    const isSafe = answer === undefined || (!answer.headersSent && !answer.req.complete);
    // A TLS socket without its handshake takes words, and keeps them for ever.
    if (!this.#ready.has(socket)) socket.destroy();
    else if (error.code !== 'ECONNRESET' && isSafe) refuseRaw(socket, refusalFor(error.code), this.#options.clock);
    else if (socket instanceof Socket) breakConnection(socket);
    else socket.destroy();
  }
}

/** Puts `first` in front of all who hear of connections by `event`; they hear when it says so, or never. */
function before(
  server: Server,
  event: 'connection' | 'secureConnection',
  first: (socket: Socket, goOn: () => void) => void,
): void {
  const listeners = server.listeners(event);
  for (const listener of listeners) server.off(event, listener as () => void);
  server.on(event, (socket: Socket) =>
    first(socket, () => {
      for (const listener of listeners) listener.call(server, socket);
    }),
  );
}
