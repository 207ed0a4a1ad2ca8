/** One request and its answer, with all that is learnt on the way: what the access line and the metrics are made of. */
import { randomBytes } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Outcome } from '../../headers/cache-status.ts';
import type { Clock, Timer } from '../../lib/clock.ts';
import { OciError } from '../../oci/errors.ts';
import type { Subject } from './errors.ts';

/** What the request asked for; a closed set, for metrics. */
export type RequestKind = Subject | 'ping';

/** The client is gone: nobody is left to answer. */
export class ClientGoneError extends Error {
  readonly kind = 'clientGone';

  constructor() {
    super('the client has left');
    this.name = 'ClientGoneError';
  }
}

/** A process has its own prefix, so that ids of two instances or of two lives of one differ. */
const idPrefix = randomBytes(6).toString('hex');
let lastId = 0;
/** An id that no other request has. */
export function nextRequestId(): string {
  return `${idPrefix}-${(++lastId).toString(36)}`;
}

const acceptableId = /^[A-Za-z0-9._:/+=@-]{1,128}$/;

function tooLate(upstream: string | undefined): OciError {
  const place = upstream === undefined ? '' : `upstream ${upstream}: `;
  return new OciError('UNAVAILABLE', {
    status: 504,
    message: `${place}there was nothing to send in time; the transfer goes on, try again`,
    headers: { 'Retry-After': '5' },
  });
}

/** What a proxy says for whom it asks. */
export function forwardedFor({ headers }: IncomingMessage): string | undefined {
  const value = headers['x-forwarded-for'];
  // node:http joins lines of this header.
  return typeof value === 'string' ? value : undefined;
}

export class Exchange {
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  /** No other request has it, whatever clients send. */
  readonly id = nextRequestId();
  /** The client's X-Request-Id where it is harmless: sent back to it, and a field of its own in the log. */
  readonly clientId: string | undefined;
  readonly startedMs: number;
  kind: RequestKind = 'other';
  upstream: string | undefined;
  repository: string | undefined;
  reference: string | undefined;
  /** To be sent as OCI-Namespace. */
  namespace: string | undefined;
  /** What a 404 says besides. */
  hint: string | undefined;
  outcome: Outcome | undefined;
  /** Body bytes that the socket took. */
  bytesSent = 0;
  /** The whole answer was handed to the socket at once. */
  isFromMemory = false;
  /** Why this request failed, once that is known. */
  error: unknown;
  /** What the client is told when the head deadline passes. Undefined: that nothing came in time. */
  deadlineError: Error | undefined;
  readonly #controller = new AbortController();
  readonly #clock: Clock;
  #deadline: Timer | undefined;
  #onEnd: (() => void) | undefined;

  constructor(req: IncomingMessage, res: ServerResponse, clock: Clock) {
    this.req = req;
    this.res = res;
    this.#clock = clock;
    this.startedMs = clock.monotonic();
    const given = req.headers['x-request-id'];
    this.clientId = typeof given === 'string' && acceptableId.test(given) ? given : undefined;
    res.once('close', () => {
      this.#deadline?.cancel();
      if (!res.writableFinished) this.#controller.abort(new ClientGoneError());
      this.#onEnd?.();
    });
  }

  get isHead(): boolean {
    return this.req.method === 'HEAD';
  }

  /** Aborts when the client leaves, and at the head deadline; it cancels waiting for this request and nothing else. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  get isGone(): boolean {
    return this.res.closed || this.res.destroyed || this.signal.reason instanceof ClientGoneError;
  }

  /** Seconds since the request was read. */
  seconds(): number {
    return (this.#clock.monotonic() - this.startedMs) / 1000;
  }

  /** Calls `listener` once, when the answer is out or the connection is closed. */
  onEnd(listener: () => void): void {
    this.#onEnd = listener;
  }

  /**
   * Clients give up when no head comes for 30 s; a little earlier they get an honest answer, and may come back to a
   * transfer that has gone on meanwhile. `headWritten` ends the deadline.
   */
  startHeadDeadline(ms: number): void {
    this.#deadline = this.#clock.setTimer(ms, () =>
      this.#controller.abort(this.deadlineError ?? tooLate(this.upstream)),
    );
  }

  headWritten(): void {
    this.#deadline?.cancel();
    this.#deadline = undefined;
  }
}
