/** From what a registry wants to a token: which credential may go where, the request, the cache. */
import type { Clock } from '../../lib/clock.ts';
import type { Repository } from '../../oci/reference.ts';
import type { KnownChallenge } from './known-challenges.ts';
import type { Credential } from '../credentials/credentials.ts';
import { UpstreamError } from '../contract/errors.ts';
import { judgeRealm } from './realm.ts';
import type { RefusedCredentials } from './refused-credentials.ts';
import { wantedScopes } from './scope.ts';
import { type CachedToken, TokenCache, type TokenQuestion } from './token-cache.ts';
import type { Token } from './token-response.ts';
import { TokenClient, type TokenClientOptions, type TokenCredential, type TokenRequest } from './token-client.ts';
import type { UpstreamEvents } from '../contract/upstream.ts';

export type BearerChallenge = Extract<KnownChallenge, { kind: 'bearer' }>;

export interface TokenFor {
  readonly registry: URL;
  readonly repository: Repository;
  readonly challenge: BearerChallenge;
  readonly credential: TokenCredential | undefined;
  /** What the operator trusts as a realm of this registry. */
  readonly realms: readonly string[];
}

export interface HeldToken extends CachedToken {
  readonly question: TokenQuestion;
  /** The credential that the token stands for; undefined when it is anonymous. */
  readonly credential: TokenCredential | undefined;
  /** There was a credential, but the realm may not have it. */
  readonly withheldFrom: URL | undefined;
}

export interface TokensOptions extends TokenClientOptions {
  readonly clock: Pick<Clock, 'setTimer' | 'now' | 'monotonic'>;
  readonly events: Pick<UpstreamEvents, 'upstreamRejected'>;
  readonly refusals: RefusedCredentials;
}

export class Tokens {
  readonly #options: TokensOptions;
  readonly #client: TokenClient;
  readonly #cache: TokenCache;
  /** Values that a registry has taken at least once. */
  readonly #accepted = new WeakSet<object>();

  constructor(options: TokensOptions) {
    this.#options = options;
    this.#client = new TokenClient(options);
    this.#cache = new TokenCache(options.clock);
  }

  async get(wanted: TokenFor, signal: AbortSignal): Promise<HeldToken> {
    const { upstream, events } = this.#options;
    const { registry, challenge } = wanted;
    const verdict = judgeRealm(challenge.realm, registry, wanted.realms);
    if (verdict.kind === 'unusable') {
      events.upstreamRejected({ upstream, reason: 'realm' });
      const message = `${registry.origin} names a token server that cannot be used: ${verdict.reason}`;
      throw new UpstreamError('badResponse', message, { upstream });
    }
    const credential = verdict.kind === 'trusted' ? wanted.credential : undefined;
    const withheldFrom = credential === wanted.credential ? undefined : verdict.url;
    const { service } = challenge;
    const scopes = wantedScopes(wanted.repository, challenge.hints);
    const question = { realm: verdict.url, service, scopes, identity: credential?.identity };
    const fetch = (work: AbortSignal): Promise<Token> => {
      if (withheldFrom !== undefined) events.upstreamRejected({ upstream, reason: 'realm' });
      const credentialSet = credentialSetOf(upstream, credential);
      return this.#fetch({ realm: verdict.url, service, scopes, credential, credentialSet }, wanted.repository, work);
    };
    try {
      return { ...(await this.#cache.get(question, fetch, signal)), question, credential, withheldFrom };
    } catch (error) {
      const isDenied = error instanceof UpstreamError && error.kind === 'denied';
      throw isDenied && withheldFrom !== undefined ? withheldError(upstream, withheldFrom, error) : error;
    }
  }

  async #fetch(request: TokenRequest, repository: Repository, signal: AbortSignal): Promise<Token> {
    const { credential, realm } = request;
    if (credential === undefined) return this.#client.fetch(request, signal);
    using trial = await this.#options.refusals.begin({ credential, origin: realm.origin, repository }, signal);
    try {
      const token = await this.#client.fetch(request, signal);
      trial.accepted();
      return token;
    } catch (error) {
      // The same credential was taken without a scope.
      if (error instanceof UpstreamError && error.kind === 'denied') trial.accepted();
      if (error instanceof UpstreamError && error.kind === 'credentialRefused') trial.refused(error, true);
      throw error;
    }
  }

  /** Number of the latest token of all. */
  get count(): number {
    return this.#cache.count;
  }

  /** The registry took it. */
  accepted({ value }: HeldToken): void {
    this.#accepted.add(value);
  }

  wasAccepted({ value }: HeldToken): boolean {
    return this.#accepted.has(value);
  }

  /** The registry did not take it. */
  drop({ question, value }: HeldToken): void {
    this.#cache.drop(question, value);
  }

  close(): void {
    this.#cache.close();
  }
}

/** Names the connection pool: requests with different credentials share none. */
export function credentialSetOf(upstream: string, credential: Credential | undefined): string {
  return credential === undefined ? 'anonymous' : `${upstream} ${credential.name}`;
}

/** A denial that the configured credential might have prevented is a fault of the set-up, not the registry's answer. */
export function withheldError(upstream: string, realm: URL, cause?: unknown): UpstreamError {
  const message =
    `the credential was not sent to the token server ${realm.origin}, which configuration does not name; ` +
    `if it is right, add it to upstreams.${upstream}.realms`;
  return new UpstreamError('redirectRefused', message, { upstream, cause });
}
