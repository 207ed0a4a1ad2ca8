/** A token server and a registry that trusts it, both scripted by the test; and the client that talks to them. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { text } from 'node:stream/consumers';
import { type Repository, parseRepository } from '../../../src/oci/reference.ts';
import { Authorizer, type AuthorizerOptions } from '../../../src/upstream/auth/authorizer.ts';
import {
  type Credential,
  type CredentialSource,
  credentialIdentity,
} from '../../../src/upstream/credentials/credentials.ts';
import { Secret } from '../../../src/lib/secret.ts';
import { bytesOf, get, senderFor } from './senders.ts';
import { serve, type TestServer } from './servers.ts';

export function repository(name: string): Repository {
  const parsed = parseRepository(name);
  if (parsed === undefined) throw new Error(`no repository: ${name}`);
  return parsed;
}

export interface TokenQuery {
  readonly method: string;
  readonly url: URL;
  /** All of them, whether they came one by one or in one form field. */
  readonly scopes: readonly string[];
  readonly service: string | undefined;
  /** `user:password` of the Basic header. */
  readonly basic: string | undefined;
  readonly form: URLSearchParams | undefined;
}

export interface TokenServer {
  readonly server: TestServer;
  readonly queries: TokenQuery[];
  /** Tokens that were given out, with the question. */
  readonly issued: Map<string, TokenQuery>;
}

/** A status with a body, or the fields of a token's JSON; undefined: a token that lives for 300 s. */
export type TokenReply =
  | { readonly status: number; readonly body?: string; readonly headers?: Readonly<Record<string, string>> }
  | { readonly json: object }
  | undefined;

/** `reply` may wait, and sees the number of the query, from 1. */
export async function tokenServer(
  reply: (query: TokenQuery, number: number) => TokenReply | Promise<TokenReply> = () => undefined,
): Promise<TokenServer & AsyncDisposable> {
  const queries: TokenQuery[] = [];
  const issued = new Map<string, TokenQuery>();
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const query = await parseQuery(request);
    const number = queries.push(query);
    const replied = await reply(query, number);
    if (replied !== undefined && 'status' in replied) {
      response.writeHead(replied.status, replied.headers).end(replied.body);
      return;
    }
    const token = `token-${number}-${Math.random().toString(36).slice(2)}`;
    issued.set(token, query);
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ token, expires_in: 300, ...replied?.json }));
  };
  const server = await serve((request, response) => {
    answer(request, response).catch((error: unknown) => response.destroy(error instanceof Error ? error : undefined));
  });
  return { server, queries, issued, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() };
}

async function parseQuery(request: IncomingMessage): Promise<TokenQuery> {
  const url = new URL(request.url ?? '', 'http://token.test');
  const body = request.method === 'POST' ? await text(request) : undefined;
  const form = body === undefined ? undefined : new URLSearchParams(body);
  const scopes = form === undefined ? url.searchParams.getAll('scope') : (form.get('scope') ?? '').split(' ');
  return {
    method: request.method ?? '',
    url,
    scopes: scopes.filter((scope) => scope !== ''),
    service: (form ?? url.searchParams).get('service') ?? undefined,
    basic: basicOf(request),
    form,
  };
}

export function basicOf(request: Pick<IncomingMessage, 'headers'>): string | undefined {
  const match = /^Basic (.+)$/.exec(request.headers.authorization ?? '');
  return match === null ? undefined : Buffer.from(match[1] ?? '', 'base64').toString();
}

export function bearerOf(request: Pick<IncomingMessage, 'headers'>): string | undefined {
  return /^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1];
}

/** The repository that a /v2/ request is about. */
export function repositoryOf(request: Pick<IncomingMessage, 'url'>): string {
  return /^\/v2\/(.+)\/(?:manifests|blobs)\//.exec(request.url ?? '')?.[1] ?? '';
}

/**
 * A registry that serves a repository to holders of a token for it and challenges everybody else. `challenge` may say
 * something else than the usual; `isAccepted` may refuse good tokens.
 */
export async function tokenRegistry(
  tokens: Pick<TokenServer, 'server' | 'issued'>,
  options: {
    readonly challenge?: (request: IncomingMessage) => string | undefined;
    readonly isAccepted?: (token: string, request: IncomingMessage) => boolean;
    /** A repository that needs no token, and what its answer is. */
    readonly open?: readonly [string, { readonly open: number }];
  } = {},
): Promise<TestServer> {
  return serve((request, response) => {
    const token = bearerOf(request);
    const query = token === undefined ? undefined : tokens.issued.get(token);
    const scope = `repository:${repositoryOf(request)}:pull`;
    const isGood = token !== undefined && query?.scopes.includes(scope) === true;
    const [open, status] = options.open ?? [];
    const isOpen = token === undefined && repositoryOf(request) === open;
    if (isOpen || (isGood && (options.isAccepted?.(token, request) ?? true))) {
      response.writeHead((isOpen && status?.open) || 200).end('content');
      return;
    }
    const usual = `Bearer realm="${tokens.server.url.href}token",service="s",scope="${scope}"`;
    const worker = options.challenge === undefined ? usual : options.challenge(request);
    response.writeHead(401, worker === undefined ? {} : { 'www-authenticate': worker }).end('{}');
  });
}

export function basicCredential(username: string, password: string, name = 'test'): Credential {
  const identity = credentialIdentity('basic', username, password);
  return { kind: 'basic', name, identity, username, password: new Secret(password) };
}

/** A source that gives `current()` for the registries it is for, and counts. */
export function sourceOf(
  current: () => Credential | undefined,
  isFor: (registry: URL) => boolean = () => true,
): CredentialSource & { refusals: number } {
  return {
    refusals: 0,
    get: (target) => Promise.resolve(isFor(target.registry) ? current() : undefined),
    refused() {
      this.refusals++;
    },
    mayAnswer: isFor,
    isAt: () => false,
  };
}

export interface Client extends AsyncDisposable {
  readonly authorizer: Authorizer;
  /** Reasons of `upstreamRejected`. */
  readonly rejected: string[];
  /** Asks until the exchange ends; the status of the last answer, or the verdict. Every Authorization header sent is in `sent`. */
  ask(
    repositoryName: string,
    registry?: URL,
  ): Promise<{ readonly outcome: number | string; readonly sent: readonly (string | undefined)[] }>;
}

/** A client of `home` like the registry client, without redirects. */
export function clientOf(home: URL, options: Partial<AuthorizerOptions> = {}): Client {
  const rejected: string[] = [];
  const sender = senderFor(home);
  const authorizer = new Authorizer({
    upstream: 'test',
    sender,
    credentials: undefined,
    endpoints: [home],
    realms: [],
    events: { upstreamRejected: ({ reason }) => rejected.push(reason) },
    ...options,
  });
  const { signal } = new AbortController();
  return {
    authorizer,
    rejected,
    async ask(repositoryName, registry = home) {
      const exchange = authorizer.begin(registry, repository(repositoryName));
      const sent: (string | undefined)[] = [];
      for (;;) {
        const { header, credentialSet } = await exchange.authorization(signal);
        sent.push(header);
        const headers: Record<string, string> = header === undefined ? {} : { authorization: header };
        const url = new URL(`/v2/${repositoryName}/manifests/latest`, registry);
        const answer = await sender.send(get(url, undefined, { headers, credentialSet }), signal);
        const body = (await bytesOf(answer)).toString();
        const { status } = answer;
        if (status !== 401 && status !== 403) {
          exchange.heard(status);
          return { outcome: status, sent };
        }
        const lines = answer.headers['www-authenticate'] ?? [];
        const wwwAuthenticate = typeof lines === 'string' ? [lines] : lines;
        const verdict = await exchange.challenged({ status, wwwAuthenticate, body }, signal);
        if (verdict !== 'retry') return { outcome: verdict, sent };
      }
    },
    async [Symbol.asyncDispose]() {
      authorizer.close();
      await sender.close();
    },
  };
}
