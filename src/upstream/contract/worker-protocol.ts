/**
 * A line: another thread that carries exchanges for this one. It dials only addresses that were vetted here, writes one
 * request, and hands back the head before anything becomes of the body. Everything that needs judgement stays here.
 */
import { UpstreamError, type UpstreamErrorKind } from './errors.ts';
import { reasonOf } from './failure.ts';
import type { PatienceFlag } from './patience.ts';
import type { StallLimits } from './stall-watch.ts';

/** One GET. Everything in it can be copied to another thread. */
export interface LineOrder {
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
export interface LineRoute {
  readonly host: string;
  readonly port: number;
  readonly addresses: readonly { readonly address: string; readonly family: number }[];
  /** Undefined for plain http. */
  readonly tls: LineTls | undefined;
}

export interface LineTls {
  /** Changes when any of the rest does. */
  readonly stamp: string;
  readonly ca: string | undefined;
  readonly cert: string | undefined;
  readonly key: string | undefined;
  readonly isVerified: boolean;
}

/** An UpstreamError on its way between threads. */
export interface LineFailure {
  readonly kind: UpstreamErrorKind;
  readonly message: string;
  /** What the system or the parser said. */
  readonly cause?: string;
  readonly isDial?: boolean;
  readonly isFraming?: boolean;
}

export function toLineFailure({ kind, message, cause, isDial, isFraming }: UpstreamError): LineFailure {
  return { kind, message, isDial, isFraming, ...(cause instanceof Error && { cause: reasonOf(cause) }) };
}

export function fromLineFailure(
  { kind, message, cause, isDial = false, isFraming = false }: LineFailure,
  upstream: string,
): UpstreamError {
  const details = { upstream, isDial, isFraming, ...(cause !== undefined && { cause: new Error(cause) }) };
  return new UpstreamError(kind, message, details);
}

export type LineCommand =
  | { readonly kind: 'open'; readonly order: LineOrder }
  /** Answers `dial`. */
  | { readonly kind: 'route'; readonly route: LineRoute | LineFailure }
  /** Answers `nothing` if no head has come, when everything that has arrived there was looked at. */
  | { readonly kind: 'ask' }
  /** Asks for the next piece of the body. */
  | { readonly kind: 'read' }
  | { readonly kind: 'discard' }
  | { readonly kind: 'abort' };

export type LineReply =
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
  | { readonly kind: 'end'; readonly received: number; readonly failure?: LineFailure };

export interface LineCall {
  readonly id: number;
  tell(command: LineCommand): void;
}

export interface Line {
  /** Starts an exchange. `onReply` gets `lost` as its last when the thread has died. */
  call(order: LineOrder, onReply: (reply: LineReply | { readonly kind: 'lost' }) => void): LineCall;
}

/** A body that lies on a line and can be moved there, instead of being read through `chunks`. */
export interface LineBody {
  readonly line: Line;
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
