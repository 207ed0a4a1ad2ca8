/**
 * A line: another thread that carries exchanges for this one. It dials only addresses that were vetted here, writes one
 * request, and hands back the head before anything becomes of the body. Everything that needs judgement stays here.
 */
import { UpstreamError, type UpstreamErrorKind } from './errors.ts';
import { reasonOf } from './failure.ts';
import type { PatienceFlag } from './patience.ts';
import type { StallLimits } from './stall-watch.ts';

/** One GET. Everything in it can be copied to another thread. */
export interface WorkerOrder {
  /** The upstream's key, for errors. */
  readonly upstream: string;
  /** Exchanges of different pools never share a connection. */
  readonly pool: string;
  readonly origin: string;
  /** Path and query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly connectTimeoutMs: number;
  readonly tlsTimeoutMs: number;
  readonly bodyLimits: StallLimits;
  readonly patience?: PatienceFlag | undefined;
}

/** Where a connection may go, decided when one is needed. */
export interface WorkerRoute {
  readonly host: string;
  readonly port: number;
  readonly addresses: readonly { readonly address: string; readonly family: number }[];
  /** Undefined for plain http. */
  readonly tls: WorkerTls | undefined;
}

export interface WorkerTls {
  /** Changes when any of the rest does. */
  readonly stamp: string;
  readonly ca: string | undefined;
  readonly cert: string | undefined;
  readonly key: string | undefined;
  readonly isVerified: boolean;
}

/** An UpstreamError on its way between threads. */
export interface WorkerFailure {
  readonly kind: UpstreamErrorKind;
  readonly message: string;
  /** What the system or the parser said. */
  readonly cause?: string;
  readonly isDial?: boolean;
  readonly isFraming?: boolean;
}

export function toWorkerFailure({ kind, message, cause, isDial, isFraming }: UpstreamError): WorkerFailure {
  return { kind, message, isDial, isFraming, ...(cause instanceof Error && { cause: reasonOf(cause) }) };
}

export function fromWorkerFailure(
  { kind, message, cause, isDial = false, isFraming = false }: WorkerFailure,
  upstream: string,
): UpstreamError {
  const details = { upstream, isDial, isFraming, ...(cause !== undefined && { cause: new Error(cause) }) };
  return new UpstreamError(kind, message, details);
}

export type WorkerCommand =
  | { readonly kind: 'open'; readonly order: WorkerOrder }
  /** Answers `dial`. */
  | { readonly kind: 'route'; readonly route: WorkerRoute | WorkerFailure }
  /** Answers `nothing` if no head has come, when everything that has arrived there was looked at. */
  | { readonly kind: 'ask' }
  /** Asks for the next piece of the body. */
  | { readonly kind: 'read' }
  | { readonly kind: 'discard' }
  | { readonly kind: 'abort' };

export type WorkerReply =
  /** The order is in its hands. */
  | { readonly kind: 'begun' }
  | { readonly kind: 'nothing' }
  /** A connection is needed: whereto? */
  | { readonly kind: 'dial' }
  | {
      readonly kind: 'head';
      readonly status: number;
      readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
    }
  | { readonly kind: 'chunk'; readonly bytes: Uint8Array }
  /** The exchange is over, and the line has forgotten it. `received`: bytes of the body not reported before. */
  | { readonly kind: 'end'; readonly received: number; readonly failure?: WorkerFailure };

export interface WorkerCall {
  readonly id: number;
  tell(command: WorkerCommand): void;
}

export interface ExchangeWorker {
  /** Starts an exchange. `onReply` gets `lost` as its last when the thread has died. */
  call(order: WorkerOrder, onReply: (reply: WorkerReply | { readonly kind: 'lost' }) => void): WorkerCall;
}

/** A body that lies on a line and can be moved there, instead of being read through `chunks`. */
export interface WorkerBody {
  readonly worker: ExchangeWorker;
  /** The call that holds it. */
  readonly call: number;
  /** Waits for its share of the bandwidth. */
  readonly pay: ((bytes: number, signal: AbortSignal) => Promise<void>) | undefined;
  /** Most to pay for at once. */
  readonly stepBytes: number;
  /** Aborts when its connection is to be given to somebody else: the move is stopped then, with that reason. */
  readonly wanted: AbortSignal;
  /** Counts bytes that came. */
  readonly received: (bytes: number) => void;
  /** Ends the exchange; only as long as no move has begun. */
  readonly abort: () => void;
  /** Whoever moves it is done with it, or has aborted it: nothing of it may be used any more. */
  readonly ended: () => void;
}
