/**
 * One connection to one origin: TCP, perhaps a tunnel through a proxy, perhaps TLS. Each step has its own time limit, and
 * the address is vetted before the first byte leaves. Everything that goes wrong is an UpstreamError with the reason in
 * its message.
 */
import { request as httpRequest } from 'node:http';
import { connect as tcpConnect, isIP, type Socket } from 'node:net';
import { connect as tlsConnect } from 'node:tls';
import { hasCode } from '../../lib/system-error.ts';
import { abortReason } from '../../lib/abort.ts';
import type { Clock } from '../../lib/clock.ts';
import type { AddressPolicy } from './address-policy.ts';
import { UpstreamError, type UpstreamErrorKind } from '../contract/errors.ts';
import { reasonOf } from '../contract/failure.ts';
import { dialledHost, portOf } from './origin.ts';
import type { Proxy } from './proxy.ts';
import type { TlsPlace, TlsSettings } from './tls.ts';

export interface DialOptions {
  /** The upstream's key, for errors. */
  readonly upstream: string;
  readonly clock: Clock;
  readonly policy: AddressPolicy;
  readonly tls: TlsSettings;
  readonly tlsPlace: (url: URL) => TlsPlace;
  readonly proxyFor: (url: URL) => Proxy | undefined;
  readonly connectTimeoutMs: number;
  readonly tlsTimeoutMs: number;
}

/** What a TLS connection may resume; one per origin. */
export interface TlsSessions {
  session?: Buffer;
}

/** Resolves a socket that is ready for HTTP and belongs to the caller. */
export async function dial(
  url: URL,
  options: DialOptions,
  sessions: TlsSessions,
  signal: AbortSignal,
): Promise<Socket> {
  const proxy = options.proxyFor(url);
  refuseLiteral(url, options);
  const tcp = await openTcp(proxy?.url ?? url, options, proxy !== undefined, signal);
  if (proxy === undefined) return url.protocol === 'https:' ? openTls(tcp, url, options, sessions, signal) : tcp;
  const toProxy = proxy.url.protocol === 'https:' ? await openTls(tcp, proxy.url, options, {}, signal) : tcp;
  // Plain http goes to the proxy in absolute form, without a tunnel: many proxies open tunnels to port 443 only.
  if (url.protocol !== 'https:') return toProxy;
  const tunnel = await openTunnel(toProxy, url, proxy, options, signal);
  return openTls(tunnel, url, options, sessions, signal);
}

/**
 * An address in the URL itself needs no look-up, so net.connect would dial it unseen; a proxy would as well. Names are
 * the proxy's to resolve, and so is the judgement about what they resolve to.
 */
export function refuseLiteral(url: URL, { policy, upstream }: Pick<DialOptions, 'policy' | 'upstream'>): void {
  const host = dialledHost(url).replace(/\.$/, '');
  const isLocalName = host === 'localhost' || host.endsWith('.localhost');
  if (isIP(host) === 0 && !isLocalName) return;
  if (!policy.accepts(url, isLocalName ? '127.0.0.1' : host)) throw refusedAddress(url, upstream);
}

async function openTcp(url: URL, options: DialOptions, isProxy: boolean, signal: AbortSignal): Promise<Socket> {
  const { policy, upstream, connectTimeoutMs } = options;
  const refused = (): UpstreamError => refusedAddress(url, upstream);
  const socket = tcpConnect({
    host: dialledHost(url),
    port: portOf(url),
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: 30_000,
    autoSelectFamily: true,
    // A proxy is configuration's own word, wherever it lies.
    ...(isProxy ? {} : { lookup: policy.lookupFor(url, refused) }),
  });
  await settled(socket, 'connect', `connecting to ${url.host}`, connectTimeoutMs, 'unreachable', options, signal);
  if (isProxy || policy.accepts(url, socket.remoteAddress ?? '')) return socket;
  socket.destroy();
  throw refused();
}

async function openTls(
  tcp: Socket,
  url: URL,
  options: DialOptions,
  sessions: TlsSessions,
  signal: AbortSignal,
): Promise<Socket> {
  // A failure of the plain socket shows on the TLS socket as well; without a listener here it would end the process.
  tcp.on('error', () => undefined);
  const choice = await options.tls.choose(options.tlsPlace(url)).catch((cause: unknown) => {
    tcp.destroy();
    throw new UpstreamError('tls', `TLS files: ${reasonOf(cause)}`, {
      upstream: options.upstream,
      isDial: true,
      cause,
    });
  });
  if (tcp.errored !== null) {
    throw new UpstreamError('unreachable', `${url.host}: ${reasonOf(tcp.errored)}`, {
      upstream: options.upstream,
      isDial: true,
    });
  }
  const host = dialledHost(url);
  const socket = tlsConnect({
    socket: tcp,
    host,
    servername: isIP(host) === 0 ? host : '',
    secureContext: choice.context,
    rejectUnauthorized: choice.isVerified,
    ALPNProtocols: ['http/1.1'],
    ...(sessions.session === undefined ? {} : { session: sessions.session }),
  });
  socket.on('session', (session) => (sessions.session = session));
  await settled(socket, 'secureConnect', `TLS with ${url.host}`, options.tlsTimeoutMs, 'tls', options, signal);
  return socket;
}

/** CONNECT (RFC 9110 §9.3.6). */
function openTunnel(
  toProxy: Socket,
  url: URL,
  proxy: Proxy,
  options: DialOptions,
  signal: AbortSignal,
): Promise<Socket> {
  const { upstream, clock, tlsTimeoutMs } = options;
  const authority = `${url.hostname}:${portOf(url)}`;
  return new Promise((resolve, reject) => {
    const ask = httpRequest({
      method: 'CONNECT',
      path: authority,
      headers: { host: authority, ...(proxy.authorization && { 'proxy-authorization': proxy.authorization }) },
      createConnection: () => toProxy,
    });
    const end = (error: Error): void => {
      timer.cancel();
      signal.removeEventListener('abort', onAbort);
      toProxy.destroy();
      reject(error);
    };
    const failed = (kind: UpstreamErrorKind, reason: string, cause?: unknown): void =>
      end(new UpstreamError(kind, `proxy ${proxy.url.host}: ${reason}`, { upstream, isDial: true, cause }));
    const onAbort = (): void => end(abortReason(signal));
    const timer = clock.setTimer(tlsTimeoutMs, () => failed('timeout', `no answer to CONNECT in ${tlsTimeoutMs} ms`));
    signal.addEventListener('abort', onAbort, { once: true });
    ask.on('error', (cause) => failed('unreachable', reasonOf(cause), cause));
    ask.on('response', ({ statusCode }) => failed('unreachable', `status ${statusCode} to CONNECT`));
    ask.on('connect', ({ statusCode }, socket, head) => {
      if (statusCode !== 200) return failed('unreachable', `status ${statusCode} to CONNECT ${authority}`);
      if (head.length > 0) return failed('unreachable', 'bytes before the TLS handshake');
      timer.cancel();
      signal.removeEventListener('abort', onAbort);
      return resolve(socket);
    });
    ask.end();
  });
}

/** Waits for `event`; on failure, time-out or abort the socket is destroyed. */
export function settled(
  socket: Socket,
  event: 'connect' | 'secureConnect',
  what: string,
  timeoutMs: number,
  kind: UpstreamErrorKind,
  { upstream, clock }: Pick<DialOptions, 'upstream' | 'clock'>,
  signal: AbortSignal,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const end = (error?: Error): void => {
      timer.cancel();
      signal.removeEventListener('abort', onAbort);
      socket.off(event, onEvent);
      if (error === undefined) {
        socket.off('error', onError);
        return resolve();
      }
      // Stays deaf to what the socket says while it dies.
      socket.destroy();
      return reject(error);
    };
    const onEvent = (): void => end();
    const onError = (cause: unknown): void => {
      if (cause instanceof UpstreamError) return end(cause);
      const found = isTimeout(cause) ? 'timeout' : kind;
      return end(new UpstreamError(found, `${what}: ${reasonOf(cause)}`, { upstream, isDial: true, cause }));
    };
    const onAbort = (): void => end(abortReason(signal));
    const timer = clock.setTimer(timeoutMs, () =>
      end(new UpstreamError('timeout', `${what}: nothing in ${timeoutMs} ms`, { upstream, isDial: true })),
    );
    socket.on('error', onError);
    socket.once(event, onEvent);
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true });
  });
}

function isTimeout(cause: unknown): boolean {
  if (cause instanceof AggregateError) return cause.errors.length > 0 && cause.errors.every(isTimeout);
  return hasCode(cause, 'ETIMEDOUT');
}

export function refusedAddress(url: URL, upstream: string): UpstreamError {
  const message = `${url.host} has an address to which ${upstream} may not lead: private, of this machine or link-local`;
  return new UpstreamError('redirectRefused', message, { upstream });
}
