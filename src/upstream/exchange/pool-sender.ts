/**
 * Sender on undici: one HTTP/1.1 exchange, nothing more. No interceptors and no `fetch`: redirects, retries, caching and
 * decompression are where undici's advisories were, and where weir has its own opinion.
 *
 * One sender works on behalf of one endpoint of an upstream, because the address policy is about that endpoint.
 */
import type { Socket } from 'node:net';
import { hasCode } from '../../lib/system-error.ts';
import type { Dispatcher } from 'undici';
import { abortReason } from '../../lib/abort.ts';
import { type Connection, ConnectionPool, type Dial, poolIn } from './connection-pool.ts';
import { dial, type DialOptions, type TlsSessions } from '../network/dial.ts';
import { UpstreamError } from '../contract/errors.ts';
import { bodyFailure, failure, headFailure, isProtocolError, isLeftover } from '../contract/failure.ts';
import { framingProblem, parseContentLength } from '../../headers/content-length.ts';
import { orderly } from './loose-head.ts';
import { withoutSecrets } from '../network/origin.ts';
import { ResponseBody } from './response-body.ts';
import type { IncomingResponse, OutgoingRequest, Sender } from './sender.ts';
import type { StallLimits } from '../contract/stall-watch.ts';

export interface PoolSenderOptions extends DialOptions {
  readonly bodyLimits: StallLimits;
  /** Called for each piece of a body. */
  readonly onBytes: (bytes: number) => void;
}

/** Signed URLs in Location are long; Go accepts 10 MiB, Node 16 KiB. */
export const maxHeaderBytes = 64 * 1024;
export const keepAliveMs = 15_000;
export const maxIdlePerPool = 8;

export class PoolSender implements Sender {
  readonly #options: PoolSenderOptions;
  readonly #pools = new Map<string, ConnectionPool>();
  #isClosed = false;

  constructor(options: PoolSenderOptions) {
    this.#options = options;
  }

  async send(request: OutgoingRequest, signal: AbortSignal): Promise<IncomingResponse> {
    const { upstream, clock } = this.#options;
    if (signal.aborted) throw aborted(upstream, signal);
    if (this.#isClosed) throw failure('aborted', upstream, 'closed');
    const control = new AbortController();
    const onAbort = (): void => control.abort(aborted(upstream, signal));
    signal.addEventListener('abort', onAbort, { once: true });
    const stopListening = (): void => signal.removeEventListener('abort', onAbort);
    const place = withoutSecrets(request.url);
    const timer = clock.setTimer(request.headTimeoutMs, () =>
      control.abort(failure('timeout', upstream, `${place}: no answer in ${request.headTimeoutMs} ms`)),
    );
    try {
      return await this.#sendOnce(request, control.signal, stopListening);
    } catch (error) {
      stopListening();
      throw error;
    } finally {
      timer.cancel();
    }
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.all([...this.#pools.values()].map((pool) => pool.close()));
    this.#pools.clear();
  }

  /** Once, and once more where an earlier exchange on the same connection may be to blame. */
  async #sendOnce(request: OutgoingRequest, signal: AbortSignal, onEnd: () => void): Promise<IncomingResponse> {
    const pool = this.#poolFor(request);
    const { onLoose } = request;
    if (onLoose !== undefined) {
      const dialled: Dial = async (own) => orderly(await this.#dial(request.url, {}, own), onLoose);
      return this.#exchange(request, pool.fresh(dialled), pool, signal, onEnd);
    }
    const connection = request.method === 'POST' || request.isFresh === true ? pool.fresh() : pool.take();
    const { isReused } = connection;
    try {
      return await this.#exchange(request, connection, pool, signal, onEnd);
    } catch (error) {
      if (!isReused || !(error instanceof UpstreamError) || !isLeftover(error)) throw error;
      return this.#exchange(request, pool.fresh(), pool, signal, onEnd);
    }
  }

  async #exchange(
    request: OutgoingRequest,
    connection: Connection,
    pool: ConnectionPool,
    signal: AbortSignal,
    onEnd: () => void,
  ): Promise<IncomingResponse> {
    const { upstream, bodyLimits, clock, proxyFor, onBytes } = this.#options;
    const { url, method, patience, onLoose } = request;
    const place = withoutSecrets(url);
    const answer = await this.#head(request, connection, signal).catch(async (cause: unknown) => {
      await pool.drop(connection);
      throw headFailure(cause, upstream, place);
    });
    const { statusCode, headers } = answer;
    const problem = framingProblem(headers);
    if (problem !== undefined) {
      await pool.drop(connection);
      throw new UpstreamError('badResponse', `${place}: ${problem}`, { upstream, isFraming: true });
    }
    if (statusCode === 407 && proxyFor(url) !== undefined) {
      await pool.drop(connection);
      throw new UpstreamError('unreachable', 'the proxy wants other credentials', { upstream, isDial: true });
    }
    const hasBody = method !== 'HEAD' && statusCode !== 204 && statusCode !== 304;
    const body = new ResponseBody({
      source: answer.body,
      declaredBytes: hasBody ? parseContentLength(headers['content-length']) : undefined,
      limits: bodyLimits,
      patience,
      clock,
      onBytes,
      broken: (kind, reason, cause) =>
        cause === undefined || kind !== 'cut'
          ? failure(kind, upstream, `body from ${place}: ${reason}`, cause)
          : bodyFailure(cause, upstream, place),
      suspicion: () => (isSuspicious(connection.socketError) ? connection.socketError : undefined),
      onEnd: (isClean) => {
        onEnd();
        // A HEAD that is refused is where servers send a body that nobody expects.
        const isKept = isClean && onLoose === undefined && (method !== 'HEAD' || statusCode < 400);
        // Neither can fail, and nobody waits for a connection to close.
        void (isKept ? pool.release(connection) : pool.drop(connection));
      },
    });
    if (!hasBody) await body.discard();
    return {
      status: statusCode,
      headers,
      body,
      discard: () => body.discard(),
      abort: () => body.abort(),
    };
  }

  #head(request: OutgoingRequest, { client }: Connection, signal: AbortSignal): Promise<Dispatcher.ResponseData> {
    const { url, method, headers, body, target = `${url.pathname}${url.search}` } = request;
    const proxy = url.protocol === 'http:' ? this.#options.proxyFor(url) : undefined;
    const throughProxy = proxy !== undefined && {
      host: url.host,
      ...(proxy.authorization !== undefined && { 'proxy-authorization': proxy.authorization }),
    };
    return client.request({
      method,
      path: proxy === undefined ? target : `${url.origin}${target}`,
      headers: { ...headers, ...throughProxy },
      body: body ?? null,
      signal,
      // Else undici closes after each HEAD, and each revalidation of a tag pays for a handshake.
      ...(method === 'HEAD' && { reset: false }),
    });
  }

  #poolFor({ url, credentialSet }: OutgoingRequest): ConnectionPool {
    return poolIn(this.#pools, `${url.origin} ${credentialSet}`, () => this.#newPool(url));
  }

  #newPool(url: URL): ConnectionPool {
    const proxy = url.protocol === 'http:' ? this.#options.proxyFor(url) : undefined;
    const sessions: TlsSessions = {};
    return new ConnectionPool({
      origin: proxy?.url.origin ?? url.origin,
      dial: (signal) => this.#dial(url, sessions, signal),
      maxHeaderBytes,
      keepAliveMs,
      maxIdle: maxIdlePerPool,
    });
  }

  #dial(url: URL, sessions: TlsSessions, signal: AbortSignal): Promise<Socket> {
    return dial(new URL(url.origin), this.#options, sessions, signal);
  }
}

/** undici ends the connection itself after an answer that says `Connection: close`; that is no error. */
export function isSuspicious(error: Error | undefined): boolean {
  if (error === undefined) return false;
  return isProtocolError(error) || hasCode(error, 'ECONNRESET');
}

function aborted(upstream: string, signal: AbortSignal): UpstreamError {
  const reason = abortReason(signal);
  return reason instanceof UpstreamError ? reason : failure('aborted', upstream, 'given up by the caller', reason);
}
