/**
 * Authentication towards one upstream with one set of credentials, or with none.
 *
 * Use, for each request at one registry:
 *
 *     const exchange = authorizer.begin(registry, repository);
 *     for (;;) {
 *       const { header, credentialSet } = await exchange.authorization(signal);
 *       const answer = await sender.send({ ..., credentialSet, headers: header === undefined ? h : { ...h, authorization: header } });
 *       if (answer.status !== 401 && answer.status !== 403) break;
 *       const verdict = await exchange.challenged({ status, wwwAuthenticate, body }, signal);
 *       if (verdict !== 'retry') throw new UpstreamError(verdict, ...);
 *     }
 *
 * The loop ends by itself: an exchange answers `retry` a bounded number of times. A redirect to `/v2/` of another
 * registry begins a new exchange with that origin (and the repository named by its path); any other redirect to
 * another origin is sent without authorization and without an exchange.
 */
import type { Repository } from '../oci/reference.ts';
import type { CredentialSource } from './credentials.ts';
import type { Sender } from './sender.ts';
import type { UpstreamEvents } from './upstream.ts';

export interface AuthorizerOptions {
  /** The upstream's key, for errors and for the names of connection pools. */
  readonly upstream: string;
  /** Carries token requests; not closed by the authorizer. */
  readonly sender: Sender;
  /** Undefined: everything is anonymous. */
  readonly credentials: CredentialSource | undefined;
  /** The configured endpoints. Credentials go to plain http only for these, and `realms` speaks about these. */
  readonly endpoints: readonly URL[];
  /** `upstreams.X.realms`: hosts (`host[:port]`) or origins that may get the credential besides the registry's own. */
  readonly realms: readonly string[];
  readonly events: Pick<UpstreamEvents, 'upstreamRejected'>;
  /** Monotonic milliseconds. */
  readonly now?: () => number;
  /** For a whole token request, in milliseconds. Default 10 s. */
  readonly tokenTimeoutMs?: number;
}

/** What to send with the next request. */
export interface Authorization {
  /** Value of the Authorization header; undefined: send none. */
  readonly header: string | undefined;
  /** For OutgoingRequest. */
  readonly credentialSet: string;
}

/** An answer of the registry with status 401 or 403. */
export interface Refusal {
  readonly status: number;
  /** Every line of the WWW-Authenticate header. */
  readonly wwwAuthenticate: readonly string[];
  /** The start of the body, if the caller read it (a few KiB do): ECR says only there that a token expired. */
  readonly body: string | undefined;
}

/**
 * `retry` ask `authorization` again and repeat the request · `denied` the registry's word about this repository ·
 * `credentialRefused` the configured credential itself is refused.
 */
export type Verdict = 'retry' | 'denied' | 'credentialRefused';

/** One request's way through authentication at one registry. Not for concurrent use. */
export interface AuthExchange {
  /**
   * The header to send now, from what earlier exchanges learnt; fetches a token or runs a credential helper if that is
   * needed. Rejects with UpstreamError: `denied` and `credentialRefused` when the token endpoint says so, and outages of
   * the token endpoint (`rateLimited`, `timeout`, `unreachable`, …).
   */
  authorization(signal: AbortSignal): Promise<Authorization>;
  /** Learns from a 401 or 403 to the last `authorization`. Rejects like `authorization`. */
  challenged(refusal: Refusal, signal: AbortSignal): Promise<Verdict>;
}

export class Authorizer {
  readonly #options: AuthorizerOptions;

  constructor(options: AuthorizerOptions) {
    this.#options = options;
  }

  /** Some credential may be used for this registry, so an answer may be one that an anonymous client would not get. */
  mayUseCredential(registry: URL): boolean {
    return this.#options.credentials?.mayAnswer(registry) ?? false;
  }

  /**
   * `registry`: the URL under which `/v2/` lies: an endpoint with its path, or the origin that a redirect led to.
   * Asks for leave to read `repository` there, never for more.
   */
  begin(registry: URL, repository: Repository): AuthExchange {
    throw new Error(`not written yet: ${registry.origin} ${repository}`);
  }
}
