/**
 * Asks a token server for one token (distribution's docs/content/spec/auth/{token,oauth}.md). No cache, no retries.
 *
 * User and password go by GET, which every token server has (Artifact Registry answers 404 to POST, Artifactory 401);
 * an identity token has to go by POST.
 */
import type { Clock } from '../../lib/clock.ts';
import { retryWait } from '../../headers/retry-after.ts';
import type { Credential } from '../credentials/credentials.ts';
import { UpstreamError, type UpstreamErrorKind } from '../contract/errors.ts';
import { firstOf } from '../../headers/content-length.ts';
import { isSameOrigin, withoutSecrets } from '../network/origin.ts';
import type { IncomingResponse, OutgoingRequest, Sender } from '../exchange/sender.ts';
import { errorCodeIn, readWhole } from '../exchange/small-body.ts';
import { type Token, parseToken } from './token-response.ts';
import { basicHeader, formBody, tokenUrl } from './token-request.ts';

export type TokenCredential = Extract<Credential, { kind: 'basic' | 'identityToken' }>;

export interface TokenRequest {
  /** Judged by realm.ts before: what is asked here gets the credential. */
  readonly realm: URL;
  readonly service: string | undefined;
  readonly scopes: readonly string[];
  readonly credential: TokenCredential | undefined;
  /** Name of the connection pool. */
  readonly credentialSet: string;
}

export interface TokenClientOptions {
  readonly upstream: string;
  readonly sender: Sender;
  readonly clock: Pick<Clock, 'setTimer' | 'now'>;
  /** For the whole exchange, redirects included. */
  readonly timeoutMs: number;
}

const maxBodyBytes = 65_536;
const maxRedirects = 3;

interface Answer {
  readonly status: number;
  readonly body: Uint8Array;
  readonly retryAfterMs: number | undefined;
}

export class TokenClient {
  readonly #options: TokenClientOptions;

  constructor(options: TokenClientOptions) {
    this.#options = options;
  }

  /**
   * Rejects with UpstreamError: `denied` when the server will not give this scope, `credentialRefused` when it does not
   * take the credential, else an outage of the token server.
   */
  async fetch(request: TokenRequest, signal: AbortSignal): Promise<Token> {
    const controller = new AbortController();
    const late = this.#error('timeout', request.realm, `did not answer within ${this.#options.timeoutMs} ms`);
    using _timer = this.#options.clock.setTimer(this.#options.timeoutMs, () => controller.abort(late));
    try {
      return await this.#fetch(request, AbortSignal.any([signal, controller.signal]));
    } catch (error) {
      // Whatever the sender made of the abort: it was our own limit, not the caller.
      if (controller.signal.aborted && !signal.aborted) throw late;
      throw error;
    }
  }

  async #fetch(request: TokenRequest, signal: AbortSignal): Promise<Token> {
    const answer = await this.#ask(request, signal);
    if (answer.status === 200) {
      const token = parseToken(answer.body);
      if (token === undefined) throw this.#error('badResponse', request.realm, 'answered 200 without a token');
      return token;
    }
    const isRefusal = answer.status === 401 || answer.status === 403;
    if (isRefusal && request.credential === undefined) throw this.#refusal('denied', request.realm, answer);
    if (isRefusal || (answer.status === 400 && request.credential !== undefined)) {
      throw this.#refusal(await this.#whatIsRefused(request, signal), request.realm, answer);
    }
    throw this.#outage(request.realm, answer);
  }

  /**
   * Registries do not agree on 401 and 403 here: GHCR answers 403 to a bad token and to a good one without the right.
   * What `docker login` does tells them apart: the same credential without any scope.
   */
  async #whatIsRefused(request: TokenRequest, signal: AbortSignal): Promise<'denied' | 'credentialRefused'> {
    if (request.scopes.length === 0) return 'credentialRefused';
    const answer = await this.#ask({ ...request, scopes: [] }, signal);
    if (answer.status === 200) return 'denied';
    if (answer.status === 400 || answer.status === 401 || answer.status === 403) return 'credentialRefused';
    throw this.#outage(request.realm, answer);
  }

  async #ask(request: TokenRequest, signal: AbortSignal): Promise<Answer> {
    const { credential } = request;
    if (credential?.kind !== 'identityToken') return this.#get(request, credential, signal);
    const posted = await this.#post(request, credential.token.reveal(), signal);
    // No such method here, or no identity tokens: with a user name the token serves as a password (Azure, Artifactory).
    const isUnsupported = [400, 401, 404, 405].includes(posted.status);
    if (!isUnsupported || credential.username === undefined) return posted;
    const got = await this.#get(request, { username: credential.username, password: credential.token }, signal);
    return got.status === 404 || got.status === 405 ? posted : got;
  }

  #get(
    request: TokenRequest,
    basic: Parameters<typeof basicHeader>[0] | undefined,
    signal: AbortSignal,
  ): Promise<Answer> {
    const url = tokenUrl(request.realm, request.service, request.scopes);
    const headers: Record<string, string> = basic === undefined ? {} : { authorization: basicHeader(basic) };
    return this.#exchange({ method: 'GET', url, headers }, request.credentialSet, signal);
  }

  #post(request: TokenRequest, refreshToken: string, signal: AbortSignal): Promise<Answer> {
    const headers = { 'content-type': 'application/x-www-form-urlencoded' };
    const body = formBody(request.service, request.scopes, refreshToken);
    return this.#exchange({ method: 'POST', url: request.realm, headers, body }, request.credentialSet, signal);
  }

  /** Follows redirects within the origin only: wherever else they lead has not been judged. */
  async #exchange(
    asked: Pick<OutgoingRequest, 'method' | 'url' | 'headers' | 'body'>,
    credentialSet: string,
    signal: AbortSignal,
  ): Promise<Answer> {
    let { url } = asked;
    for (let hops = 0; ; hops++) {
      const headers = {
        accept: 'application/json',
        'accept-encoding': 'identity',
        'user-agent': 'weir',
        ...asked.headers,
      };
      const request = { ...asked, url, headers, credentialSet, headTimeoutMs: this.#options.timeoutMs };
      const response = await this.#options.sender.send(request, signal);
      if (![301, 302, 303, 307, 308].includes(response.status)) return this.#read(response, url);
      await response.discard();
      url = this.#nextUrl(asked.method, response, url, hops);
    }
  }

  #nextUrl(method: string, response: IncomingResponse, from: URL, hops: number): URL {
    const location = firstOf(response.headers['location']);
    const target = location === undefined ? undefined : (URL.parse(location, from) ?? undefined);
    // 301 to 303 turn a POST into a GET, which would leave its form behind.
    const isKept = method === 'GET' || response.status >= 307;
    const isAllowed =
      target !== undefined && isSameOrigin(target, from) && target.username === '' && target.password === '';
    if (isAllowed && isKept && hops < maxRedirects) return target;
    const where = target === undefined ? 'nowhere' : withoutSecrets(target);
    throw this.#error('redirectRefused', from, `redirects to ${where}, which is refused`, { status: response.status });
  }

  async #read(response: IncomingResponse, from: URL): Promise<Answer> {
    const { status, headers } = response;
    const body = await readWhole(response, maxBodyBytes, () =>
      this.#error('tooLarge', from, `sent more than ${maxBodyBytes} bytes`, { status }),
    );
    const retryAfter = firstOf(headers['retry-after']);
    const retryAfterMs = retryAfter === undefined ? undefined : retryWait(retryAfter, this.#options.clock.now());
    return { status, body, retryAfterMs };
  }

  #refusal(kind: 'denied' | 'credentialRefused', realm: URL, answer: Answer): UpstreamError {
    const code = errorCodeIn(Buffer.from(answer.body).toString('utf8'));
    const what = kind === 'denied' ? 'gives no token for this repository' : 'refuses the configured credential';
    return this.#error(kind, realm, `${what} (${answer.status})`, {
      status: answer.status,
      isOfTokens: true,
      ...(code === undefined ? {} : { code }),
    });
  }

  #outage(realm: URL, { status, retryAfterMs }: Answer): UpstreamError {
    const kind: UpstreamErrorKind = status === 429 ? 'rateLimited' : status >= 500 ? 'serverError' : 'badResponse';
    return this.#error(kind, realm, `answered ${status}`, {
      status,
      ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
    });
  }

  #error(kind: UpstreamErrorKind, realm: URL, what: string, details: object = {}): UpstreamError {
    const { upstream } = this.#options;
    return new UpstreamError(kind, `token server ${withoutSecrets(realm)} ${what}`, {
      upstream,
      ...details,
    });
  }
}
