/** A server of Node, strict about what a request is, with limits that suit registries. */
import { createServer as createHttpServer, type Server, type ServerOptions } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { ListenError } from './listen-error.ts';

export interface ServerLimits {
  /** Names the listener in messages: the configuration key. */
  readonly name: string;
  /** PEM texts; without them the listener speaks plain HTTP. */
  readonly tls?: { readonly cert: string | Uint8Array; readonly key: string | Uint8Array } | undefined;
  /** Milliseconds that a request's head may take, and a handshake of TLS before it. */
  readonly headTimeoutMs: number;
  /** Milliseconds that an idle connection is kept. */
  readonly keepAliveMs: number;
}

/** Go's clients keep idle connections for 90 s, load balancers for 10 minutes: closing first would break their next request. */
export const defaultKeepAliveMs = 620_000;

const strictness: ServerOptions = {
  // A limit on whole requests would cut slow ones; bodies have their own (http/v2/request-body.ts).
  requestTimeout: 0,
  // podman asks for a thousand ranges in one header.
  maxHeaderSize: 64 * 1024,
  noDelay: true,
  // Finds peers that vanished while they waited for a transfer.
  keepAlive: true,
  keepAliveInitialDelay: 60_000,
  insecureHTTPParser: false,
  // Refused with a readable answer instead (http/v2/front.ts).
  requireHostHeader: false,
  optimizeEmptyRequests: true,
};

/** Throws ListenError of kind `tls`. */
export function createServer(options: ServerLimits): Server {
  const { headTimeoutMs, keepAliveMs } = options;
  const limits = {
    ...strictness,
    keepAliveTimeout: keepAliveMs,
    headersTimeout: headTimeoutMs,
    connectionsCheckingInterval: headTimeoutMs / 10,
  };
  const server = options.tls === undefined ? createHttpServer(limits) : createTlsServer(options, options.tls, limits);
  server.maxRequestsPerSocket = 10_000;
  // Node drops headers beyond a count without a word, and others in front of us would not. Their size is limited.
  server.maxHeadersCount = 0;
  server.timeout = 0;
  return server;
}

function createTlsServer(
  { name, headTimeoutMs }: ServerLimits,
  { cert, key }: NonNullable<ServerLimits['tls']>,
  limits: ServerOptions,
): Server {
  try {
    const certificate = { cert: Buffer.from(cert), key: Buffer.from(key), minVersion: 'TLSv1.2' as const };
    return createHttpsServer({ ...limits, ...certificate, handshakeTimeout: headTimeoutMs });
  } catch (error) {
    throw new ListenError('tls', `${name}: the certificate or the key cannot be used`, { cause: error });
  }
}
