/** The conversation of one request with one registry about who is asking. See auth.ts for its contract. */
import type { Repository } from '../../oci/reference.ts';
import type { AuthExchange, Authorization, Refusal, Verdict } from './authorizer.ts';
import { type AuthMemory, isSamePlace, type KnownChallenge } from './known-challenges.ts';
import { type HeldToken, type Tokens, credentialSetOf, withheldError } from './tokens.ts';
import { type ChosenChallenge, chooseChallenge, parseChallenges } from '../../headers/www-authenticate.ts';
import { type Credential, type CredentialSource, placeOf } from '../credentials/credentials.ts';
import { isOutage, isRefusal, UpstreamError } from '../contract/errors.ts';
import type { RefusedCredentials, Trial } from './refused-credentials.ts';
import { challengeScopes, wantedScopes } from './scope.ts';
import { basicHeader } from './token-request.ts';

export interface ExchangeOptions {
  readonly upstream: string;
  readonly registry: URL;
  readonly repository: Repository;
  /** Undefined where none may be used. */
  readonly credentials: CredentialSource | undefined;
  readonly realms: readonly string[];
  readonly memory: AuthMemory;
  readonly tokens: Tokens;
  readonly refusals: RefusedCredentials;
  /** The WWW-Authenticate lines of a bare GET of `/v2/` there: for registries whose other answers carry none. */
  readonly ping: (signal: AbortSignal) => Promise<readonly string[]>;
}

type Sent =
  | { readonly kind: 'nothing' }
  | { readonly kind: 'credential'; readonly credential: Credential }
  | { readonly kind: 'bearer'; readonly token: HeldToken };

type BasicCredential = Extract<Credential, { kind: 'basic' }>;

/** More than any sane conversation takes (found, fetched, told anew, fetched with another scope); ends an insane one. */
const maxRetries = 5;
/** ECR says this with status 403, and only in the body. */
const expiredToken = /authorization token has expired/i;

export class Exchange implements AuthExchange {
  readonly #options: ExchangeOptions;
  /** Tokens with a higher number were fetched while this conversation went on: another one would be no better. */
  readonly #lastOldToken: number;
  #sent: Sent = { kind: 'nothing' };
  #retries = 0;
  /** A request without authorization was answered, so the challenge is the registry's own. */
  #wasToldBare = false;
  #isNextBare = false;
  /** Where the token came from that made us ask bare. */
  #triedInVain: KnownChallenge | undefined;
  #hasRenewed = false;
  #hasReplaced = false;
  #withheldFrom: URL | undefined;
  #trial: Trial | undefined;
  /** Why what was sent last went without a token that it may need: a refusal is no answer then. */
  #noToken: { readonly error: UpstreamError; readonly challenge: KnownChallenge } | undefined;

  constructor(options: ExchangeOptions) {
    this.#options = options;
    this.#lastOldToken = options.tokens.count;
  }

  async authorization(signal: AbortSignal): Promise<Authorization> {
    const { registry, repository, memory } = this.#options;
    const credential = await this.#credential(signal);
    if (credential?.kind === 'registryToken')
      return this.#send(credential, `Bearer ${credential.token.reveal()}`, signal);
    const known = this.#isNextBare ? undefined : memory.get(registry, repository);
    this.#isNextBare = false;
    if (known?.kind === 'bearer') return this.#sendToken(known, credential, signal);
    if (known?.kind === 'basic' && credential?.kind === 'basic') {
      return this.#send(credential, basicHeader(credential), signal);
    }
    return this.#sendBare();
  }

  heard(status: number | undefined): void {
    using trial = this.#takeTrial();
    const isTaken = status !== undefined && status < 500 && status !== 429;
    if (isTaken) trial?.accepted();
    if (isTaken && this.#sent.kind === 'bearer') this.#options.tokens.accepted(this.#sent.token);
    if (this.#noToken !== undefined && status !== undefined && isRefusal(status)) throw this.#noToken.error;
  }

  async challenged(refusal: Refusal, signal: AbortSignal): Promise<Verdict> {
    using trial = this.#takeTrial();
    if (refusal.status === 403 && this.#noToken !== undefined) throw this.#noToken.error;
    if (refusal.status === 403 && !expiredToken.test(refusal.body ?? '')) trial?.accepted();
    const verdict = this.#retries >= maxRetries ? 'denied' : await this.#judge(refusal, signal);
    if (verdict === 'credentialRefused') trial?.refused(this.#refusedBy(refusal), false);
    if (verdict === 'retry') this.#retries++;
    if (verdict === 'denied' && this.#withheldFrom !== undefined) {
      throw withheldError(this.#options.upstream, this.#withheldFrom);
    }
    return verdict;
  }

  async #judge({ status, wwwAuthenticate, body }: Refusal, signal: AbortSignal): Promise<Verdict> {
    const sent = this.#sent;
    if (status === 403) {
      if (sent.kind !== 'credential' || !expiredToken.test(body ?? '')) return 'denied';
      return (await this.#isRenewed(sent.credential, signal)) ? 'retry' : 'credentialRefused';
    }
    const challenge = chooseChallenge(parseChallenges(wwwAuthenticate));
    switch (sent.kind) {
      case 'nothing':
        return this.#learn(challenge ?? chooseChallenge(parseChallenges(await this.#options.ping(signal))), signal);
      case 'credential':
        return this.#judgeCredential(sent.credential, challenge, signal);
      case 'bearer':
        return this.#judgeToken(sent.token, challenge);
    }
  }

  /** Without authorization the registry names its realm by itself. Once: what it says a second time leads nowhere. */
  async #learn(challenge: ChosenChallenge | undefined, signal: AbortSignal): Promise<Verdict> {
    const { registry, repository, memory } = this.#options;
    if (challenge === undefined || this.#wasToldBare) return 'denied';
    this.#wasToldBare = true;
    const known = memory.learn(registry, repository, challenge);
    const noToken = this.#noToken;
    this.#noToken = undefined;
    if (noToken !== undefined && isSamePlace(noToken.challenge, known)) throw noToken.error;
    if (this.#triedInVain !== undefined && isSamePlace(this.#triedInVain, known)) return 'denied';
    if (known.kind === 'bearer') return 'retry';
    const credential = await this.#credential(signal);
    if (credential === undefined) return 'denied';
    return credential.kind === 'basic' ? 'retry' : 'credentialRefused';
  }

  async #judgeCredential(
    credential: Credential,
    challenge: ChosenChallenge | undefined,
    signal: AbortSignal,
  ): Promise<Verdict> {
    if (
      credential.kind === 'registryToken' &&
      challenge?.kind === 'bearer' &&
      challenge.error === 'insufficient_scope'
    ) {
      return 'denied';
    }
    if (await this.#isRenewed(credential, signal)) return 'retry';
    // The registry has moved from Basic to tokens.
    if (credential.kind === 'basic' && challenge?.kind === 'bearer') return this.#learn(challenge, signal);
    return 'credentialRefused';
  }

  #judgeToken(token: HeldToken, challenge: ChosenChallenge | undefined): Verdict {
    const { registry, repository, memory, tokens } = this.#options;
    tokens.drop(token);
    // Fetched while this conversation went on, taken from others, and its life was shorter than it said.
    const isWorn = tokens.wasAccepted(token) && !this.#hasReplaced;
    this.#hasReplaced ||= isWorn;
    if (isWorn || token.number <= this.#lastOldToken) return 'retry';
    const known = memory.get(registry, repository);
    if (challenge?.kind === 'bearer' && known?.kind === 'bearer') {
      const hints = [...known.hints, ...challengeScopes(challenge.scope)];
      const isMoreWanted = wantedScopes(repository, hints).some((scope) => !token.question.scopes.includes(scope));
      if (isMoreWanted) {
        memory.addHints(registry, repository, hints);
        return 'retry';
      }
    }
    // nvcr.io answers a token it does not like with another realm, which then fails as well. Only a request without
    // any authorization tells whether this repository really has a realm of its own.
    if (challenge === undefined || known === undefined || isSamePlace(known, challenge) || this.#wasToldBare)
      return 'denied';
    this.#isNextBare = true;
    this.#triedInVain = known;
    return 'retry';
  }

  async #sendToken(
    challenge: Extract<KnownChallenge, { kind: 'bearer' }>,
    credential: Exclude<Credential, { kind: 'registryToken' }> | undefined,
    signal: AbortSignal,
  ): Promise<Authorization> {
    const { upstream, registry, repository, realms, tokens } = this.#options;
    try {
      const token = await tokens.get({ registry, repository, challenge, credential, realms }, signal);
      this.#withheldFrom = token.withheldFrom;
      this.#sent = { kind: 'bearer', token };
      const credentialSet = credentialSetOf(upstream, token.credential);
      const shown = token.credential && placeOf(token.credential);
      return { header: `Bearer ${token.value.reveal()}`, credentialSet, shown };
    } catch (error) {
      if (!(error instanceof UpstreamError) || signal.aborted) throw error;
      if (error.kind === 'credentialRefused' && credential !== undefined) {
        if (await this.#isRenewed(credential, signal)) return this.authorization(signal);
      }
      if (this.#wasToldBare || !isOutage(error) || error.kind === 'credentialRefused') throw error;
      // While no token is to be had, what is there without one is: the registry may have another token server by now, or
      // may never have wanted a token for this.
      this.#noToken = { error, challenge };
      return this.#sendBare();
    }
  }

  #sendBare(): Authorization {
    this.#sent = { kind: 'nothing' };
    return { header: undefined, credentialSet: credentialSetOf(this.#options.upstream, undefined), shown: undefined };
  }

  async #send(
    credential: BasicCredential | Extract<Credential, { kind: 'registryToken' }>,
    header: string,
    signal: AbortSignal,
  ): Promise<Authorization> {
    const { registry, repository, refusals } = this.#options;
    try {
      this.#trial = await refusals.begin({ credential, origin: registry.origin, repository }, signal);
    } catch (error) {
      if (signal.aborted || !(await this.#isRenewed(credential, signal))) throw error;
      return this.authorization(signal);
    }
    this.#sent = { kind: 'credential', credential };
    this.#withheldFrom = undefined;
    const credentialSet = credentialSetOf(this.#options.upstream, credential);
    return { header, credentialSet, shown: placeOf(credential) };
  }

  #takeTrial(): Trial | undefined {
    const trial = this.#trial;
    this.#trial = undefined;
    return trial;
  }

  #refusedBy({ status }: Refusal): UpstreamError {
    const { upstream, registry } = this.#options;
    const message = `${registry.origin} refuses the configured credential (${status})`;
    return new UpstreamError('credentialRefused', message, { upstream, status });
  }

  #credential(signal: AbortSignal): Promise<Credential | undefined> {
    const { credentials, registry, repository } = this.#options;
    return credentials?.get({ registry, repository }, signal) ?? Promise.resolve(undefined);
  }

  /** Whether the source has another credential than the refused one: a rotated file, a helper's new token. Once. */
  async #isRenewed(refused: Credential, signal: AbortSignal): Promise<boolean> {
    if (this.#hasRenewed) return false;
    this.#hasRenewed = true;
    const { credentials, registry, repository } = this.#options;
    credentials?.refused({ registry, repository });
    const next = await this.#credential(signal);
    return next !== undefined && next.identity !== refused.identity;
  }
}
