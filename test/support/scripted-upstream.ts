/**
 * A registry on bare sockets that is correct until a test tells it otherwise, and remembers everything it was asked.
 *
 * ```ts
 * await using upstream = await ScriptedUpstream.start();
 * const digest = upstream.content.addBlob('library/alpine', 'hello');
 * upstream.on({ kind: 'blob', reference: digest }, { times: 1 }, delay(20), cut(3, 'rst'));
 * ...
 * expect(upstream.count({ kind: 'blob' })).toBe(2);
 * ```
 */
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { ByteReader } from './byte-reader.ts';
import { sourceOf } from './byte-source.ts';
import { eventually, Gate } from './gate.ts';
import { testCertificate, testKey } from './tls.ts';
import { type BasicAuth, type BearerAuth, refuse, type TokenIssuer } from './upstream/auth.ts';
import { type Behaviour, combine } from './upstream/behaviour.ts';
import { RegistryContent } from './upstream/content.ts';
import { applyRange, errorReply, type Reply, rightReply } from './upstream/reply.ts';
import { type Match, matches, readRequest, type RecordedRequest } from './upstream/request.ts';
import { type Rule, RuleBook, type RuleOptions } from './upstream/rules.ts';
import { resetSocket, secure, sendReply } from './upstream/send.ts';

export interface UpstreamOptions {
  readonly content?: RegistryContent;
  readonly tls?: boolean;
  readonly auth?: BasicAuth | BearerAuth;
  /** Answers at `/token` here; default: the issuer of `auth`. */
  readonly tokens?: TokenIssuer;
  /** Default true. */
  readonly hasReferrersApi?: boolean;
  /** Default 1000. */
  readonly pageSize?: number;
}

export class ScriptedUpstream implements AsyncDisposable {
  readonly content: RegistryContent;
  readonly isTls: boolean;
  /** In order of arrival. */
  readonly requests: RecordedRequest[] = [];
  /** weir's own looks at whether anybody is there. */
  readonly looks: RecordedRequest[] = [];
  /** May be changed at any time. */
  auth: BasicAuth | BearerAuth | undefined;
  hasReferrersApi: boolean;
  pageSize: number;
  /** What happens to new connections: `hang` never reads, `reset` and `close` end them at once. */
  accept: 'serve' | 'hang' | 'reset' | 'close' = 'serve';
  /** Under every rule, and for every request without one. */
  always: Behaviour = {};
  readonly #tokens: TokenIssuer | undefined;
  readonly #gates = new Map<string, Gate>();
  readonly #sockets = new Set<Socket>();
  readonly #rules = new RuleBook();
  #server: Server | undefined;
  #port = 0;
  #accepted = 0;

  private constructor(options: UpstreamOptions) {
    this.content = options.content ?? new RegistryContent();
    this.isTls = options.tls ?? false;
    this.auth = options.auth;
    this.#tokens = options.tokens;
    this.hasReferrersApi = options.hasReferrersApi ?? true;
    this.pageSize = options.pageSize ?? 1000;
  }

  static async start(options: UpstreamOptions = {}): Promise<ScriptedUpstream> {
    const upstream = new ScriptedUpstream(options);
    await upstream.listen();
    return upstream;
  }

  get port(): number {
    return this.#port;
  }

  /** `127.0.0.1:<port>` */
  get host(): string {
    return `127.0.0.1:${this.#port}`;
  }

  /** Scheme, host and port, without a slash at the end. */
  get url(): string {
    return `${this.isTls ? 'https' : 'http'}://${this.host}`;
  }

  /** Connections accepted so far. */
  get connections(): number {
    return this.#accepted;
  }

  get openConnections(): number {
    return this.#sockets.size;
  }

  /** Listens, on the same port as before if it did already. */
  async listen(): Promise<void> {
    const server = createServer((socket) => this.#onConnection(socket));
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(this.#port, '127.0.0.1', resolve);
    });
    this.#port = (server.address() as AddressInfo).port;
    this.#server = server;
  }

  /** Refuses connections and resets those that are there, as a machine that goes down. `listen` brings it back. */
  async stop(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    this.cutAll();
    if (server !== undefined) await new Promise<void>((resolve) => server.close(() => resolve()));
  }

  /** Resets every open connection. */
  cutAll(): void {
    for (const socket of this.#sockets) resetSocket(socket);
  }

  /** Opens all gates and stops. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const gate of this.#gates.values()) gate.open();
    await this.stop();
  }

  /**
   * From now on, requests that match behave so. The newest rule that applies wins alone; `always` lies below it.
   * The first of `script` may be the rule's options.
   */
  on(match: Match, ...script: readonly (RuleOptions | Behaviour)[]): Rule {
    return this.#rules.add(match, script);
  }

  /** Back to a correct registry. What was recorded stays. */
  clearRules(): void {
    this.#rules.clear();
    this.always = {};
  }

  /** The gate of that name; made when it is first asked for, closed. Give it to `hold`. */
  gate(name: string): Gate {
    const gate = this.#gates.get(name) ?? new Gate(name);
    this.#gates.set(name, gate);
    return gate;
  }

  matching(match: Match = {}): readonly RecordedRequest[] {
    return this.requests.filter((request) => matches(match, request));
  }

  count(match: Match = {}): number {
    return this.matching(match).length;
  }

  /** Body bytes handed to sockets in answers to such requests. */
  bytesSent(match: Match = {}): number {
    return this.matching(match).reduce((sum, { bodyBytes }) => sum + bodyBytes, 0);
  }

  /** Resolves when `count` such requests have come. */
  async received(match: Match = {}, count = 1): Promise<readonly RecordedRequest[]> {
    await eventually(
      () => this.count(match) >= count,
      () => `${this.count(match)} of ${count} requests ${JSON.stringify(match)} at the upstream`,
    );
    return this.matching(match);
  }

  forgetRequests(): void {
    this.requests.length = 0;
  }

  #onConnection(bare: Socket): void {
    this.#accepted++;
    const isServed = this.accept === 'serve';
    const socket = this.isTls && isServed ? secure(bare, { cert: testCertificate, key: testKey }) : bare;
    this.#sockets.add(socket);
    socket.on('close', () => this.#sockets.delete(socket));
    // Errors end in 'close'; the reader and the sender notice.
    socket.on('error', () => undefined);
    socket.setNoDelay(true);
    bare.on('error', () => undefined);
    if (this.accept === 'reset') resetSocket(socket);
    else if (this.accept === 'close') socket.end();
    // Owned by the socket. Should the script itself be wrong, the rejection is unhandled and fails the test run.
    else if (isServed) void this.#serve(socket, this.#accepted);
  }

  async #serve(socket: Socket, connection: number): Promise<void> {
    const reader = new ByteReader(socket, true);
    for (;;) {
      const request = await readRequest(reader, connection, () => this.requests.length + 1);
      if (request === undefined) break;
      // That comes when a machine is slow: whoever counts requests does not mean it.
      const isLook = request.path === '/v2/' && request.headers['connection'] === 'close';
      (isLook ? this.looks : this.requests).push(request);
      const sent = await this.#answer(socket, request);
      if (sent === 'gone') return;
      if (sent === 'close') break;
    }
    socket.end();
  }

  async #answer(socket: Socket, request: RecordedRequest): Promise<'keep' | 'close' | 'gone'> {
    const refusal = this.#refusal(request);
    const scripted = this.#rules.take(request, refusal !== undefined);
    const behaviour = combine([this.always, scripted ?? {}]);
    if (behaviour.delayMs !== undefined) await new Promise((resolve) => setTimeout(resolve, behaviour.delayMs));
    const reply = refusal !== undefined && scripted === undefined ? refusal : this.#reply(request, behaviour);
    return sendReply(socket, request, reply, behaviour);
  }

  #refusal(request: RecordedRequest): Reply | undefined {
    if (request.kind === 'token') return undefined;
    if (request.kind === 'cdn') {
      // As object stores do: a signed URL and an Authorization header are one mechanism too many.
      return 'authorization' in request.headers ? errorReply(400, 'DENIED') : undefined;
    }
    return this.auth === undefined ? undefined : refuse(this.auth, request, this.url);
  }

  #reply(request: RecordedRequest, behaviour: Behaviour): Reply {
    const { redirect, status, body, flip } = behaviour;
    if (redirect !== undefined) {
      const location = typeof redirect.to === 'string' ? redirect.to : redirect.to(request);
      return { status: redirect.status, headers: { Location: location }, body: sourceOf('') };
    }
    const issuer = this.#tokens ?? (this.auth?.kind === 'bearer' ? this.auth.issuer : undefined);
    let reply = request.kind === 'token' && issuer !== undefined ? issuer.reply(request) : rightReply(request, this);
    if (body !== undefined) {
      const source = sourceOf(typeof body === 'function' ? body(request) : body);
      reply = { ...reply, status: 200, body: source, span: { start: 0, end: source.sizeBytes } };
    }
    if (flip !== undefined) reply = { ...reply, body: flipped(reply.body, flip) };
    const header = request.method === 'GET' ? request.headers['range'] : undefined;
    if (header !== undefined) reply = applyRange(reply, header, behaviour.range ?? 'honour');
    return status === undefined ? reply : { ...reply, status };
  }
}

function flipped(source: Reply['body'], offset: number): Reply['body'] {
  const wrong = offset < 0 ? source.sizeBytes + offset : offset;
  return {
    sizeBytes: source.sizeBytes,
    bytes(start, end) {
      const bytes = Buffer.from(source.bytes(start, end));
      if (wrong >= start && wrong < end) bytes[wrong - start] = (bytes[wrong - start] ?? 0) ^ 1;
      return bytes;
    },
  };
}
