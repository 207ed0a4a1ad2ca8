/**
 * Authentication towards one upstream with one set of credentials, or with none.
 *
 * Use, for each request at one registry:
 *
 *     const exchange = authorizer.begin(registry, repository);
 *     for (;;) {
 *       const { header, credentialSet } = await exchange.authorization(signal);
 *       const answer = await sender.send({ ..., credentialSet, headers: header === undefined ? h : { ...h, authorization: header } });
 *       if (answer.status !== 401 && answer.status !== 403) { exchange.heard(answer.status); break; }
 *       const verdict = await exchange.challenged({ status, wwwAuthenticate, body }, signal);
 *       if (verdict !== 'retry') throw new UpstreamError(verdict, ...);
 *     }
 *
 * The loop ends by itself: an exchange answers `retry` a bounded number of times. A redirect to `/v2/` of another
 * registry begins a new exchange with that origin (and the repository named by its path); any other redirect to
 * another origin is sent without authorization and without an exchange.
 */
import { type Clock, systemClock } from '../../lib/clock.ts';
import type { Repository } from '../../oci/reference.ts';
import { Exchange } from './conversation.ts';
import { AuthMemory } from './known-challenges.ts';
import { Tokens } from './tokens.ts';
import { CredentialError, type CredentialSource } from '../credentials/credentials.ts';
import { UpstreamError } from '../contract/errors.ts';
import { linesOf } from '../../headers/content-length.ts';
import { isSameOrigin, withoutSecrets } from '../network/origin.ts';
import { RefusedCredentials } from './refused-credentials.ts';
import type { Sender } from '../exchange/sender.ts';
import type { UpstreamEvents } from '../contract/upstream.ts';
import { trimmedEnd } from '../../lib/trim.ts';

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
  /** Default: the system's. */
  readonly clock?: Pick<Clock, 'setTimer' | 'now' | 'monotonic'>;
  /** For a whole token request, in milliseconds. Default 10 s. */
  readonly tokenTimeoutMs?: number;
}

/** What to send with the next request. */
export interface Authorization {
  /** Value of the Authorization header; undefined: send none. */
  readonly header: string | undefined;
  /** For OutgoingRequest. */
  readonly credentialSet: string;
  /** `placeOf` the credential that is shown; undefined: who asks is nobody. */
  readonly shown: string | undefined;
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
  /**
   * Any other end of the request with the last `authorization`: the status, or undefined when none came. Throws
   * UpstreamError where that refuses somebody else than who should have asked: the token endpoint was out of order.
   */
  heard(status: number | undefined): void;
}

const defaultTokenTimeoutMs = 10_000;
const pingTimeoutMs = 8_000;

export class Authorizer {
  readonly #options: AuthorizerOptions;
  readonly #memory = new AuthMemory();
  readonly #tokens: Tokens;
  readonly #refusals: RefusedCredentials;

  constructor(options: AuthorizerOptions) {
    this.#options = options;
    const { upstream, sender, events, clock = systemClock, tokenTimeoutMs = defaultTokenTimeoutMs } = options;
    this.#refusals = new RefusedCredentials(clock);
    const refusals = this.#refusals;
    this.#tokens = new Tokens({ upstream, sender, events, clock, refusals, timeoutMs: tokenTimeoutMs });
  }

  /** A credential of this place may be used for this registry. */
  isAt(place: string, registry: URL): boolean {
    return this.#credentialsFor(registry)?.isAt(place, registry) ?? false;
  }

  /** Some credential may be used for this registry, so an answer may be one that an anonymous client would not get. */
  mayUseCredential(registry: URL): boolean {
    return this.#credentialsFor(registry)?.mayAnswer(registry) ?? false;
  }

  /**
   * `registry`: the URL under which `/v2/` lies: an endpoint with its path, or the origin that a redirect led to.
   * Asks for leave to read `repository` there, never for more.
   */
  begin(registry: URL, repository: Repository): AuthExchange {
    const { upstream } = this.#options;
    const exchange = new Exchange({
      upstream,
      registry,
      repository,
      credentials: this.#credentialsFor(registry),
      realms: this.#isEndpoint(registry) ? this.#options.realms : [],
      memory: this.#memory,
      tokens: this.#tokens,
      refusals: this.#refusals,
      ping: (signal) => this.#ping(registry, signal),
    });
    return {
      authorization: (signal) => translated(upstream, signal, exchange.authorization(signal)),
      challenged: (refusal, signal) => translated(upstream, signal, exchange.challenged(refusal, signal)),
      heard: (status) => exchange.heard(status),
    };
  }

  /** Aborts token requests in flight. Idempotent. */
  close(): void {
    this.#tokens.close();
  }

  #isEndpoint(registry: URL): boolean {
    return this.#options.endpoints.some((endpoint) => isSameOrigin(endpoint, registry));
  }

  /** What the operator configured as plain http is their choice; what a redirect made of it is not. */
  #credentialsFor(registry: URL): CredentialSource | undefined {
    return registry.protocol === 'https:' || this.#isEndpoint(registry) ? this.#options.credentials : undefined;
  }

  async #ping(registry: URL, signal: AbortSignal): Promise<readonly string[]> {
    const url = new URL(`${trimmedEnd(registry.pathname, '/')}/v2/`, registry);
    const headers = { 'accept-encoding': 'identity', 'user-agent': 'weir' };
    const response = await this.#options.sender.send(
      { method: 'GET', url, headers, credentialSet: 'anonymous', headTimeoutMs: pingTimeoutMs },
      signal,
    );
    await response.discard();
    const { upstream } = this.#options;
    const { status } = response;
    if (status === 429 || status >= 500) {
      const kind = status === 429 ? 'rateLimited' : 'serverError';
      throw new UpstreamError(kind, `${withoutSecrets(url)} answered ${status}`, { upstream, status });
    }
    return linesOf(response.headers['www-authenticate']);
  }
}

/** Callers know UpstreamError only. */
async function translated<T>(upstream: string, signal: AbortSignal, promise: Promise<T>): Promise<T> {
  try {
    return await promise;
  } catch (error) {
    if (error instanceof UpstreamError) throw error;
    if (error instanceof CredentialError) {
      throw new UpstreamError('credentialRefused', error.message, { upstream, cause: error });
    }
    if (signal.aborted) throw new UpstreamError('aborted', 'given up by the caller', { upstream, cause: error });
    throw error;
  }
}
