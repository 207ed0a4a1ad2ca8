/**
 * One listener: raw node:http with limits that suit registries, strict about what a request is, and an orderly end.
 */
import {
  createServer as createHttpServer,
  type IncomingMessage,
  type Server,
  type ServerOptions,
  type ServerResponse,
} from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { type AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/log.ts';
import type { FastLane } from './fast-lane.ts';
import { breakConnection, inTurn, type RequestHandler } from './pipelining.ts';
import { refusalFor, refuseRaw } from './raw-refusal.ts';

export interface ListenOptions {
  /** Names this listener in messages: the configuration key. */
  readonly name: string;
  readonly host: string;
  /** 0 takes any free port. */
  readonly port: number;
  /** Others of this process listen there too (SO_REUSEPORT). Default false. */
  readonly isPortShared?: boolean;
  /** PEM texts; without them the listener speaks plain HTTP. */
  readonly tls?: { readonly cert: string | Uint8Array; readonly key: string | Uint8Array } | undefined;
  readonly handler: RequestHandler;
  /** Sees each connection first, ready for HTTP, and hands on what is not for it. */
  readonly lane?: Pick<FastLane, 'take' | 'drain'> | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Connections beyond this are closed at once; undefined for no limit. */
  readonly maxConnections?: number | undefined;
  /** Milliseconds that a request's head may take. Default 20,000. */
  readonly headTimeoutMs?: number;
}

/** `inUse`: another process has the port · `denied`: not permitted · `badAddress`: not an address of this machine · `tls`: certificate or key · `other`. */
export type ListenErrorKind = 'inUse' | 'denied' | 'badAddress' | 'tls' | 'other';

export class ListenError extends Error {
  readonly kind: ListenErrorKind;

  constructor(kind: ListenErrorKind, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'ListenError';
    this.kind = kind;
  }
}

/** Go's clients keep idle connections for 90 s: closing first would break their next request. */
export const keepAliveMs = 95_000;

const strictness: ServerOptions = {
  keepAliveTimeout: keepAliveMs,
  // A limit on whole requests would cut slow ones; bodies have their own (request-body.ts).
  requestTimeout: 0,
  // podman asks for a thousand ranges in one header.
  maxHeaderSize: 64 * 1024,
  noDelay: true,
  // Finds peers that vanished while they waited for a transfer.
  keepAlive: true,
  keepAliveInitialDelay: 60_000,
  insecureHTTPParser: false,
  // Refused with a readable answer instead (front.ts).
  requireHostHeader: false,
  optimizeEmptyRequests: true,
};

const complaintIntervalMs = 10_000;

export class Listener {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  /** The one answer that each busy connection is giving; what waits behind it is not in here. */
  readonly #answers = new Map<Socket, ServerResponse>();
  readonly #options: ListenOptions;
  #isDraining = false;
  #complainedAtMs = Number.NEGATIVE_INFINITY;

  private constructor(server: Server, options: ListenOptions) {
    this.#server = server;
    this.#options = options;
    const turn = inTurn((req, res) => this.#handle(req, res));
    server.on('request', turn);
    // Neither is told to go on: the answer comes without what they would send.
    server.on('checkContinue', turn);
    server.on('checkExpectation', turn);
    const ready = options.tls === undefined ? 'connection' : 'secureConnection';
    const { lane } = options;
    if (lane !== undefined) {
      // Node's own listeners, which start its parser, come second.
      const listeners = server.listeners(ready);
      for (const listener of listeners) server.off(ready, listener as () => void);
      server.on(ready, (socket: Socket) =>
        lane.take(socket, () => {
          for (const listener of listeners) listener.call(server, socket);
        }),
      );
    }
    server.on('connection', (socket) => this.#track(socket));
    server.on(ready, (socket: Socket) => this.#watchEnd(socket));
    server.on('clientError', (error, socket) => this.#refuse(error, socket));
    server.on('connect', (_req, socket) => refuseRaw(socket, 'connect'));
    server.on('drop', () => this.#complain());
  }

  /** Rejects with ListenError. Resolves when connections are accepted. */
  static async listen(options: ListenOptions): Promise<Listener> {
    const server = create(options);
    server.maxRequestsPerSocket = 10_000;
    // Node drops headers beyond a count without a word, and others in front of us would not. Their size is limited.
    server.maxHeadersCount = 0;
    server.timeout = 0;
    if (options.maxConnections !== undefined) server.maxConnections = options.maxConnections;
    const listener = new Listener(server, options);
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
    this.#options.lane?.drain();
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
    if (this.#isDraining) res.shouldKeepAlive = false;
    res.once('close', () => {
      if (this.#answers.get(socket) === res) this.#answers.delete(socket);
      // The head may have promised to keep the connection, before the end was known.
      if (this.#isDraining) setImmediate(() => this.#server.closeIdleConnections());
    });
    this.#options.handler(req, res);
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
    const answer = socket instanceof Socket ? this.#answers.get(socket) : undefined;
    // A request that breaks in its own body can still be told so; one behind another answer cannot.
    const isSafe = answer === undefined || (!answer.headersSent && !answer.req.complete);
    if (socket.writable && error.code !== 'ECONNRESET' && isSafe) refuseRaw(socket, refusalFor(error.code));
    else if (socket instanceof Socket) breakConnection(socket);
    else socket.destroy();
  }
}

function create(options: ListenOptions): Server {
  const { headTimeoutMs = 20_000 } = options;
  const limits = { ...strictness, headersTimeout: headTimeoutMs, connectionsCheckingInterval: headTimeoutMs / 10 };
  if (options.tls === undefined) return createHttpServer(limits);
  try {
    const { cert, key } = options.tls;
    return createHttpsServer({ ...limits, cert: Buffer.from(cert), key: Buffer.from(key), minVersion: 'TLSv1.2' });
  } catch (error) {
    throw new ListenError('tls', `${options.name}: the certificate or the key cannot be used`, { cause: error });
  }
}

function listenError({ name, host, port }: ListenOptions, error: NodeJS.ErrnoException): ListenError {
  const place = `${name}: cannot listen on ${host.includes(':') ? `[${host}]` : host}:${port}`;
  switch (error.code ?? '') {
    case 'EADDRINUSE':
      return new ListenError('inUse', `${place}: the address is in use, maybe by another weir`, { cause: error });
    case 'EACCES':
    case 'EPERM':
      return new ListenError('denied', `${place}: not permitted (ports below 1024 need a privilege)`, { cause: error });
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
    case 'EAFNOSUPPORT':
      return new ListenError('badAddress', `${place}: this machine has no such address`, { cause: error });
    default:
      return new ListenError('other', `${place}: ${error.message}`, { cause: error });
  }
}
