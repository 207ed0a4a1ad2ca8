/** Sends requests as a client's HTTP library does: which connection they use, and the order of their headers. */
import { expect } from 'vitest';
import { type BodyOptions, RawConnection, type RawResponse } from '../../support/raw-client.ts';

export type Headers = Readonly<Record<string, string | readonly string[]>>;

export interface ClientOptions {
  readonly userAgent: string;
  /** False for clients that open a connection for each request. Default true. */
  readonly keepAlive?: boolean;
  /** Sent with every request. */
  readonly headers?: Headers;
  /** Default: as Go's transport does, `gzip` for every GET without a Range and without an encoding of its own. */
  readonly acceptsGzip?: boolean;
}

export interface Answer extends RawResponse {
  readonly request: string;
}

export class ReplayClient implements Disposable {
  readonly origin: string;
  /** Sent with every request when set: the credentials of somebody else. */
  authorization: string | undefined;
  readonly #options: ClientOptions;
  readonly #idle: RawConnection[] = [];
  readonly #open = new Set<RawConnection>();
  #connections = 0;

  constructor(origin: string, options: ClientOptions) {
    this.origin = origin;
    this.#options = options;
  }

  /** Connections opened so far. */
  get connections(): number {
    return this.#connections;
  }

  get(target: string, headers: Headers = {}, body: BodyOptions = {}): Promise<Answer> {
    return this.ask('GET', target, headers, body);
  }

  head(target: string, headers: Headers = {}): Promise<Answer> {
    return this.ask('HEAD', target, headers);
  }

  /**
   * One request on an idle connection, or on a new one. The answer is what no client can do without: a plain body with a
   * known length, and never a demand to log in.
   */
  async ask(method: string, target: string, headers: Headers = {}, body: BodyOptions = {}): Promise<Answer> {
    const connection = await this.#take();
    connection.send(target, { method, headers: this.#lines(method, headers) });
    const head = await connection.head();
    const request = `${method} ${target}`;
    expect(head.headers, request).not.toHaveProperty('www-authenticate');
    expect(head.headers, request).not.toHaveProperty('content-encoding');
    expect(head.headers, request).not.toHaveProperty('transfer-encoding');
    expect(head.headers, request).toHaveProperty('content-length');
    expect(head.headers['docker-distribution-api-version'], request).toBe('registry/2.0');
    expect(head.status, request).not.toBe(401);
    const read = await connection.body(head, method, body);
    const isReusable = this.#options.keepAlive !== false && read.cleanEnd && head.headers['connection'] !== 'close';
    if (isReusable) this.#idle.push(connection);
    else this.#close(connection);
    return { ...head, ...read, request };
  }

  [Symbol.dispose](): void {
    for (const connection of this.#open) connection.close();
  }

  async #take(): Promise<RawConnection> {
    const idle = this.#idle.pop();
    if (idle !== undefined) return idle;
    const connection = await RawConnection.open(this.origin);
    this.#connections++;
    this.#open.add(connection);
    return connection;
  }

  #close(connection: RawConnection): void {
    this.#open.delete(connection);
    connection.close();
  }

  /** Host and User-Agent first, the others by name, as Go's net/http writes them; several lines where there is a list. */
  #lines(method: string, headers: Headers): readonly (readonly [string, string])[] {
    const { userAgent, keepAlive, acceptsGzip = true } = this.#options;
    const all: Record<string, string | readonly string[]> = { ...this.#options.headers, ...headers };
    if (this.authorization !== undefined) all['Authorization'] = this.authorization;
    if (keepAlive === false) all['Connection'] = 'close';
    const isPlain = method === 'GET' && !('Accept-Encoding' in all) && !('Range' in all);
    if (acceptsGzip && isPlain) all['Accept-Encoding'] = 'gzip';
    const { Host = new URL(this.origin).host, ...others } = all;
    const sorted = Object.entries(others).toSorted(([a], [b]) => (a < b ? -1 : 1));
    return [
      ['Host', String(Host)],
      ['User-Agent', userAgent],
      ...sorted.flatMap(([name, value]) => [value].flat().map((one) => [name, one] as const)),
    ];
  }
}
