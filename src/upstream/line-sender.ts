/** Sends what asks for a line over it, and everything else by the sender behind: proxies, and lines that have died. */
import { isIP } from 'node:net';
import { abortReason } from '../lib/abort.ts';
import type { DialOptions } from './dial.ts';
import { refusedAddress, refuseLiteral } from './dial.ts';
import { UpstreamError } from './errors.ts';
import { failure, reasonOf } from './failure.ts';
import {
  fromLineFailure,
  type Line,
  type LineBody,
  type LineCall,
  type LineFailure,
  type LineOrder,
  type LineReply,
  type LineRoute,
  toLineFailure,
} from './line.ts';
import { dialledHost, portOf, withoutSecrets } from './origin.ts';
import type { IncomingResponse, OutgoingRequest, Sender } from './sender.ts';
import type { StallLimits } from './stall-watch.ts';

export interface LineSenderOptions extends DialOptions {
  readonly bodyLimits: StallLimits;
  readonly onBytes: (bytes: number) => void;
  /** For requests without a line, and for those whose line fails. */
  readonly direct: Sender;
}

type Reply = LineReply | { readonly kind: 'lost' };

let senders = 0;

export class LineSender implements Sender {
  readonly #options: LineSenderOptions;
  /** The address policy is about one endpoint, so its connections are too. */
  readonly #name = `${++senders}`;
  readonly #calls = new Set<LineCall>();
  #isClosed = false;

  constructor(options: LineSenderOptions) {
    this.#options = options;
  }

  async send(request: OutgoingRequest, signal: AbortSignal): Promise<IncomingResponse> {
    const { direct, proxyFor } = this.#options;
    const { line } = request;
    const isDirect = line === undefined || request.method !== 'GET' || proxyFor(request.url) !== undefined;
    if (isDirect) return direct.send(request, signal);
    return (await this.#sendBy(line, request, signal)) ?? direct.send(request, signal);
  }

  close(): Promise<void> {
    this.#isClosed = true;
    for (const call of this.#calls) call.tell({ kind: 'abort' });
    return this.#options.direct.close();
  }

  /** Undefined when the line has died before the head came. */
  #sendBy(line: Line, request: OutgoingRequest, signal: AbortSignal): Promise<IncomingResponse | undefined> {
    const { upstream, clock, onBytes } = this.#options;
    const { url, headTimeoutMs } = request;
    const aborted = (): UpstreamError => {
      const reason = abortReason(signal);
      return reason instanceof UpstreamError ? reason : failure('aborted', upstream, 'given up by the caller', reason);
    };
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(aborted());
      if (this.#isClosed) return reject(failure('aborted', upstream, 'closed'));
      const fail = (error: UpstreamError): void => {
        call.tell({ kind: 'abort' });
        end();
        reject(error);
      };
      const onAbort = (): void => fail(aborted());
      const timer = clock.setTimer(headTimeoutMs, () =>
        fail(failure('timeout', upstream, `${withoutSecrets(url)}: no answer in ${headTimeoutMs} ms`)),
      );
      const end = (): void => {
        timer.cancel();
        signal.removeEventListener('abort', onAbort);
      };
      signal.addEventListener('abort', onAbort, { once: true });
      let body: CallBody | undefined;
      const call = line.call(this.#order(request), (reply) => {
        if (reply.kind === 'end' || reply.kind === 'lost') this.#calls.delete(call);
        switch (reply.kind) {
          case 'dial':
            // Owned: it never rejects.
            void this.#route(url).then((route) => call.tell({ kind: 'route', route }));
            return undefined;
          case 'head':
            end();
            body = new CallBody(call, line, { upstream, onBytes, signal, onMoved: () => this.#calls.delete(call) });
            return resolve(responseOf(reply.status, reply.headers, body));
          case 'end':
            onBytes(reply.received);
            end();
            body?.over(reply);
            return reject(errorOf(reply, upstream));
          case 'lost':
            end();
            body?.over(reply);
            return resolve(undefined);
          case 'chunk':
            return body?.chunk(reply.bytes);
        }
      });
      this.#calls.add(call);
      return undefined;
    });
  }

  #order({ url, headers, credentialSet }: OutgoingRequest): LineOrder {
    const { upstream, connectTimeoutMs, tlsTimeoutMs, bodyLimits } = this.#options;
    return {
      upstream,
      pool: `${this.#name} ${url.origin} ${credentialSet}`,
      origin: url.origin,
      path: `${url.pathname}${url.search}`,
      headers,
      connectTimeoutMs,
      tlsTimeoutMs,
      bodyLimits,
    };
  }

  /** Never rejects. A look-up that hangs has as long as a connection. */
  async #route(url: URL): Promise<LineRoute | LineFailure> {
    const { upstream, clock, connectTimeoutMs } = this.#options;
    const doing = `connecting to ${url.host}`;
    const late = Promise.withResolvers<never>();
    using _timer = clock.setTimer(connectTimeoutMs, () =>
      late.reject(failure('timeout', upstream, `${doing}: nothing in ${connectTimeoutMs} ms`)),
    );
    try {
      refuseLiteral(url, this.#options);
      const found = Promise.all([this.#addresses(url), this.#tls(url)]);
      const [addresses, tls] = await Promise.race([found, late.promise]);
      return { host: dialledHost(url), port: portOf(url), addresses, tls };
    } catch (error) {
      if (error instanceof UpstreamError) return toLineFailure(error);
      return toLineFailure(failure('unreachable', upstream, `${doing}: ${reasonOf(error)}`, error));
    }
  }

  #addresses(url: URL): Promise<LineRoute['addresses']> {
    const { policy, upstream } = this.#options;
    const host = dialledHost(url);
    const family = isIP(host);
    if (family !== 0) return Promise.resolve([{ address: host, family }]);
    const lookup = policy.lookupFor(url, () => refusedAddress(url, upstream));
    return new Promise((resolve, reject) => {
      lookup(host, { all: true }, (error, found) => {
        if (error !== null) reject(error);
        else if (typeof found === 'string') reject(new TypeError('one address instead of all'));
        else resolve(found);
      });
    });
  }

  async #tls(url: URL): Promise<LineRoute['tls']> {
    if (url.protocol !== 'https:') return undefined;
    const { tls, tlsPlace, upstream } = this.#options;
    return tls.describe(tlsPlace(url)).catch((cause: unknown) => {
      throw failure('tls', upstream, `TLS files: ${reasonOf(cause)}`, cause);
    });
  }
}

interface CallBodyOptions {
  readonly upstream: string;
  readonly onBytes: (bytes: number) => void;
  readonly signal: AbortSignal;
  readonly onMoved: () => void;
}

/** The near side of a body: read piece by piece, dropped, or left to somebody who moves it on the other side. */
class CallBody implements AsyncIterable<Uint8Array> {
  readonly #call: LineCall;
  readonly #line: Line;
  readonly #options: CallBodyOptions;
  readonly #over = Promise.withResolvers<void>();
  readonly #onAbort = (): void => this.abort();
  #reading: PromiseWithResolvers<Uint8Array | undefined> | undefined;
  #end: Reply | undefined;
  #isMoved = false;

  constructor(call: LineCall, line: Line, options: CallBodyOptions) {
    this.#call = call;
    this.#line = line;
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
  move(): Omit<LineBody, 'pay' | 'stepBytes' | 'ended'> {
    this.#isMoved = true;
    this.#options.onMoved();
    this.#options.signal.removeEventListener('abort', this.#onAbort);
    const abort = (): void => this.#call.tell({ kind: 'abort' });
    return { line: this.#line, call: this.#call.id, received: this.#options.onBytes, abort };
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

function responseOf(status: number, headers: IncomingResponse['headers'], body: CallBody): IncomingResponse {
  return {
    status,
    headers,
    body,
    discard: () => body.discard(),
    abort: () => body.abort(),
    move: () => body.move(),
  };
}

function errorOf(end: Reply, upstream: string): UpstreamError {
  const found = end.kind === 'end' ? end.failure : undefined;
  if (found !== undefined) return fromLineFailure(found, upstream);
  return failure('cut', upstream, end.kind === 'lost' ? 'the thread that carried it has died' : 'given up by us');
}
