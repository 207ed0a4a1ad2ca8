/** Sends what asks for a line over it, and everything else by the sender behind: proxies, and lines that have died. */
import { isIP } from 'node:net';
import { abortReason } from '../../lib/abort.ts';
import { CallBody, errorOf } from './body.ts';
import { type DialOptions, refusedAddress, refuseLiteral } from '../network/dial.ts';
import { UpstreamError } from '../contract/errors.ts';
import { failure, reasonOf } from '../contract/failure.ts';
import {
  type ExchangeWorker,
  type WorkerCall,
  type WorkerFailure,
  type WorkerOrder,
  type WorkerRoute,
  toWorkerFailure,
} from '../contract/worker-protocol.ts';
import { dialledHost, portOf, withoutSecrets } from '../network/origin.ts';
import type { IncomingResponse, OutgoingRequest, Sender } from '../exchange/sender.ts';
import type { StallLimits } from '../contract/stall-watch.ts';

export interface WorkerSenderOptions extends DialOptions {
  readonly bodyLimits: StallLimits;
  readonly onBytes: (bytes: number) => void;
  /** For requests without a line, and for those whose line fails. */
  readonly direct: Sender;
}

/** What a thread that is alive takes at most to say something. A machine under load lets one wait; then others do its work. */
const workerTurnMs = 2000;

let senders = 0;

export class WorkerSender implements Sender {
  readonly #options: WorkerSenderOptions;
  /** The address policy is about one endpoint, so its connections are too. */
  readonly #name = `${++senders}`;
  readonly #calls = new Set<WorkerCall>();
  #isClosed = false;

  constructor(options: WorkerSenderOptions) {
    this.#options = options;
  }

  async send(request: OutgoingRequest, signal: AbortSignal): Promise<IncomingResponse> {
    const { direct, proxyFor } = this.#options;
    const { worker } = request;
    const isDirect = worker === undefined || request.method !== 'GET' || proxyFor(request.url) !== undefined;
    if (isDirect) return direct.send(request, signal);
    return (await this.#sendBy(worker, request, signal)) ?? direct.send(request, signal);
  }

  close(): Promise<void> {
    this.#isClosed = true;
    for (const call of this.#calls) call.tell({ kind: 'abort' });
    return this.#options.direct.close();
  }

  /** Undefined when the line has died before the head came, or has no time for it. */
  #sendBy(
    worker: ExchangeWorker,
    request: OutgoingRequest,
    signal: AbortSignal,
  ): Promise<IncomingResponse | undefined> {
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
      const late = (): UpstreamError =>
        failure('timeout', upstream, `${withoutSecrets(url)}: no answer in ${headTimeoutMs} ms`);
      const leaveWorker = (): void => {
        call.tell({ kind: 'abort' });
        end();
        resolve(undefined);
      };
      // The upstream's time runs from when the thread takes the order; and a thread that was asleep looks what has come.
      let timer = clock.setTimer(workerTurnMs, leaveWorker);
      const next = (ms: number, fire: () => void): void => {
        timer.cancel();
        if (!isOver) timer = clock.setTimer(ms, fire);
      };
      const ask = (): void => {
        call.tell({ kind: 'ask' });
        next(workerTurnMs, leaveWorker);
      };
      let isOver = false;
      const end = (): void => {
        isOver = true;
        timer.cancel();
        signal.removeEventListener('abort', onAbort);
      };
      signal.addEventListener('abort', onAbort, { once: true });
      let body: CallBody | undefined;
      const call = worker.call(this.#order(request), (reply) => {
        if (reply.kind === 'end' || reply.kind === 'lost') this.#calls.delete(call);
        switch (reply.kind) {
          case 'begun':
            return next(headTimeoutMs, ask);
          case 'nothing':
            return isOver ? undefined : fail(late());
          case 'dial':
            // Owned: it never rejects.
            void this.#route(url).then((route) => call.tell({ kind: 'route', route }));
            return undefined;
          case 'head':
            // It was given up, and the line has been told.
            if (isOver) return undefined;
            end();
            body = new CallBody(call, worker, { upstream, onBytes, signal, onMoved: () => this.#calls.delete(call) });
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

  #order({ url, target, headers, credentialSet, patience }: OutgoingRequest): WorkerOrder {
    const { upstream, connectTimeoutMs, tlsTimeoutMs, bodyLimits } = this.#options;
    return {
      upstream,
      pool: `${this.#name} ${url.origin} ${credentialSet}`,
      origin: url.origin,
      path: target ?? `${url.pathname}${url.search}`,
      headers,
      connectTimeoutMs,
      tlsTimeoutMs,
      bodyLimits,
      patience,
    };
  }

  /** Never rejects. A look-up that hangs has as long as a connection. */
  async #route(url: URL): Promise<WorkerRoute | WorkerFailure> {
    const { upstream, clock, connectTimeoutMs } = this.#options;
    const doing = `connecting to ${url.host}`;
    const late = Promise.withResolvers<never>();
    using _timer = clock.setTimer(connectTimeoutMs, () =>
      late.reject(
        new UpstreamError('timeout', `${doing}: nothing in ${connectTimeoutMs} ms`, { upstream, isDial: true }),
      ),
    );
    try {
      refuseLiteral(url, this.#options);
      const found = Promise.all([this.#addresses(url), this.#tls(url)]);
      const [addresses, tls] = await Promise.race([found, late.promise]);
      return { host: dialledHost(url), port: portOf(url), addresses, tls };
    } catch (error) {
      if (error instanceof UpstreamError) return toWorkerFailure(error);
      const message = `${doing}: ${reasonOf(error)}`;
      return toWorkerFailure(new UpstreamError('unreachable', message, { upstream, isDial: true, cause: error }));
    }
  }

  #addresses(url: URL): Promise<WorkerRoute['addresses']> {
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

  async #tls(url: URL): Promise<WorkerRoute['tls']> {
    if (url.protocol !== 'https:') return undefined;
    const { tls, tlsPlace, upstream } = this.#options;
    return tls.describe(tlsPlace(url)).catch((cause: unknown) => {
      throw new UpstreamError('tls', `TLS files: ${reasonOf(cause)}`, { upstream, isDial: true, cause });
    });
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
