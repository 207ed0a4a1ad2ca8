/**
 * The one way bytes leave for an upstream: a single HTTP exchange without redirects, authentication or retries.
 * `pool-sender` implements it on undici; auth and the registry client build on it.
 */

import type { ExchangeWorker, WorkerBody } from '../contract/worker-protocol.ts';
import type { PatienceFlag } from '../contract/patience.ts';

export interface OutgoingRequest {
  readonly method: 'GET' | 'HEAD' | 'POST';
  readonly url: URL;
  /** Path and query, as Latin-1, where they are to be sent otherwise than `url` writes them. */
  readonly target?: string;
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
  /**
   * Separates connection pools: requests with different credentials never share a connection. `anonymous` where none
   * is sent; else a name for the credential set, never the secret itself.
   */
  readonly credentialSet: string;
  /** Milliseconds until the response head must be there (connect and TLS have their own limits inside it). */
  readonly headTimeoutMs: number;
  /** Not to a registry, but to where it has redirected: storage or a CDN. */
  readonly isStorage?: boolean;
  /** On a connection that has carried nothing before. */
  readonly isFresh?: boolean;
  /** On such a connection too, and its head is put in order where that is possible (`loose-head.ts`); told when it was. */
  readonly onLoose?: () => void;
  /** Another thread that may carry the exchange, so that its body can be moved there. */
  readonly worker?: ExchangeWorker | undefined;
  /** Whether a body that stands still may be waited for. Undefined: it may not. */
  readonly patience?: PatienceFlag | undefined;
}

export interface IncomingResponse {
  readonly status: number;
  /** Lower-case names; repeated headers keep their lines. */
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  /**
   * The body, not decoded. Errors are UpstreamError (`cut`, `timeout`). Leaving the loop early destroys the connection.
   * A chunk is the consumer's to keep.
   */
  readonly body: AsyncIterable<Uint8Array>;
  /** Reads and drops a short body so that the connection can be used again; destroys it when it is long or slow. */
  discard(): Promise<void>;
  /** Destroys the connection; idempotent. */
  abort(): void;
  /** Only of an exchange on a line: the caller moves the body there, and the rest of this must not be used any more. */
  readonly move?: () => Omit<WorkerBody, 'pay' | 'stepBytes' | 'wanted' | 'ended'>;
}

export interface Sender {
  /** Rejects with UpstreamError: `unreachable`, `tls`, `timeout`, `badResponse`, `redirectRefused` (address policy), `aborted`. */
  send(request: OutgoingRequest, signal: AbortSignal): Promise<IncomingResponse>;
  close(): Promise<void>;
}
