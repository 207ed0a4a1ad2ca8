/** Authentication of a scripted registry: Basic, or Bearer with a token endpoint on this or another upstream. */
import { randomBytes } from 'node:crypto';
import type { Reply } from './reply.ts';
import { errorReply, jsonReply } from './reply.ts';
import type { RecordedRequest } from './request.ts';

export interface BasicAuth {
  readonly kind: 'basic';
  readonly users: Readonly<Record<string, string>>;
  readonly realm?: string;
}

export interface BearerAuth {
  readonly kind: 'bearer';
  readonly issuer: TokenIssuer;
  /** URL of the token endpoint; default: `/token` here. */
  readonly realm?: string;
  readonly service?: string;
  /** Instead of the scope that belongs to the request; null leaves it out. */
  readonly scope?: string | null;
  /** The whole WWW-Authenticate instead of the computed one; several lines when a list. */
  readonly challenge?: string | readonly string[];
}

export interface IssuedToken {
  readonly token: string;
  /** As asked for, each `repository:<name>:<actions>`. */
  readonly scopes: readonly string[];
  readonly user: string | undefined;
  readonly request: RecordedRequest;
}

export interface IssuerOptions {
  /** Who may have tokens; undefined: only anonymous ones are given out. */
  readonly users?: Readonly<Record<string, string>>;
  /** Repositories whose scope needs a user. */
  readonly privateRepositories?: readonly string[];
  /** Seconds; undefined leaves `expires_in` out. Tokens really expire, on the real clock. */
  readonly expiresInSeconds?: number;
  readonly field?: 'token' | 'access_token' | 'both';
  /** Accepted as a refresh token (grant_type=refresh_token); it stands for the user of that name. */
  readonly refreshTokens?: Readonly<Record<string, string>>;
}

/** Gives out opaque tokens and remembers each. May be shared by a registry and a separate token server. */
export class TokenIssuer {
  readonly issued: IssuedToken[] = [];
  readonly #options: IssuerOptions;
  readonly #valid = new Map<string, { readonly granted: readonly string[]; readonly untilMs: number }>();

  constructor(options: IssuerOptions = {}) {
    this.#options = options;
  }

  /** No token given out so far is good any more. */
  revokeAll(): void {
    this.#valid.clear();
  }

  /** Answers a request at the token endpoint. */
  reply(request: RecordedRequest): Reply {
    const form = new URLSearchParams(request.body.toString());
    const scopes = [...request.query.getAll('scope'), ...form.getAll('scope')].flatMap((scope) => scope.split(' '));
    const user = this.#user(request, form);
    if (user === null) return errorReply(401, 'UNAUTHORIZED');
    const granted = scopes.filter((scope) => user !== undefined || !this.#isPrivate(scope));
    const { expiresInSeconds, field = 'both' } = this.#options;
    const token = randomBytes(12).toString('hex');
    const lifeMs = expiresInSeconds === undefined ? 60_000 : expiresInSeconds * 1000;
    this.#valid.set(token, { granted, untilMs: Date.now() + lifeMs });
    this.issued.push({ token, scopes, user, request });
    return jsonReply({
      ...(field === 'access_token' ? {} : { token }),
      ...(field === 'token' ? {} : { access_token: token }),
      ...(expiresInSeconds === undefined ? {} : { expires_in: expiresInSeconds }),
    });
  }

  /** Whether a token lets the repository be read; an empty repository asks for any valid token. */
  check(token: string, repository: string): 'ok' | 'invalid_token' | 'insufficient_scope' {
    const known = this.#valid.get(token);
    if (known === undefined || known.untilMs <= Date.now()) return 'invalid_token';
    const isGranted = known.granted.some((scope) => {
      const [, name, actions = ''] = /^repository:(.+):([^:]*)$/.exec(scope) ?? [];
      return name === repository && actions.split(',').includes('pull');
    });
    return repository === '' || isGranted ? 'ok' : 'insufficient_scope';
  }

  /** The user's name, undefined for nobody, null for wrong credentials. */
  #user(request: RecordedRequest, form: URLSearchParams): string | undefined | null {
    const refresh = form.get('refresh_token');
    if (refresh !== null) return this.#options.refreshTokens?.[refresh] ?? null;
    const basic = basicCredentials(request) ?? passwordGrant(form);
    if (basic === undefined) return undefined;
    return this.#options.users?.[basic.user] === basic.password ? basic.user : null;
  }

  #isPrivate(scope: string): boolean {
    return (this.#options.privateRepositories ?? []).some((name) => scope.startsWith(`repository:${name}:`));
  }
}

/** The 401 for a request that is not allowed, or undefined for one that is. */
export function refuse(auth: BasicAuth | BearerAuth, request: RecordedRequest, origin: string): Reply | undefined {
  if (auth.kind === 'basic') {
    const basic = basicCredentials(request);
    if (basic !== undefined && auth.users[basic.user] === basic.password) return undefined;
    return unauthorized(`Basic realm="${auth.realm ?? 'scripted'}"`);
  }
  const token = /^Bearer (.+)$/i.exec(request.headers['authorization'] ?? '')?.[1];
  const verdict = token === undefined ? undefined : auth.issuer.check(token, request.repository);
  if (verdict === 'ok') return undefined;
  const scope =
    auth.scope === undefined && request.repository !== '' ? `repository:${request.repository}:pull` : auth.scope;
  const parameters = [
    `realm="${auth.realm ?? `${origin}/token`}"`,
    `service="${auth.service ?? 'scripted'}"`,
    ...(scope === undefined || scope === null ? [] : [`scope="${scope}"`]),
    ...(verdict === undefined ? [] : [`error="${verdict}"`]),
  ];
  return unauthorized(auth.challenge ?? `Bearer ${parameters.join(',')}`);
}

function unauthorized(challenge: string | readonly string[]): Reply {
  const reply = errorReply(401, 'UNAUTHORIZED');
  reply.headers['WWW-Authenticate'] = challenge;
  return reply;
}

export function basicCredentials(request: RecordedRequest): { user: string; password: string } | undefined {
  const encoded = /^Basic (.+)$/i.exec(request.headers['authorization'] ?? '')?.[1];
  if (encoded === undefined) return undefined;
  const text = Buffer.from(encoded, 'base64').toString();
  const colon = text.indexOf(':');
  return { user: text.slice(0, colon), password: text.slice(colon + 1) };
}

function passwordGrant(form: URLSearchParams): { user: string; password: string } | undefined {
  const [user, password] = [form.get('username'), form.get('password')];
  return user === null || password === null ? undefined : { user, password };
}
