/** A plain HTTP relay between two parties that writes down what passed, and passes it no faster or oftener than it is told to. */
import { Agent, createServer, request, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

export interface Relayed {
  readonly method: string;
  readonly target: string;
  readonly range: string | undefined;
  readonly hasAuthorization: boolean;
  /** When it came, on the clock of `performance.now()`. */
  readonly atMs: number;
  status: number;
  location: string | undefined;
  /** From the request to the first byte of the body; undefined while there is none. */
  firstByteMs: number | undefined;
  bodyBytes: number;
}

export class Relay {
  readonly passed: Relayed[] = [];
  readonly #server: Server;
  readonly #agent = new Agent({ keepAlive: true });
  readonly #to: string;
  readonly #bytesPerSecond: number;
  /** Requests a second, and as many at once after a pause; the others are answered 429, as ECR Public does. */
  readonly #requestsPerSecond: number;
  #requestsLeft: number;
  #countedAtMs = performance.now();
  /** When the next byte may pass, on the clock of `performance.now()`. */
  #freeAt = 0;

  private constructor(to: string, bytesPerSecond: number, requestsPerSecond: number) {
    this.#to = to;
    this.#bytesPerSecond = bytesPerSecond;
    this.#requestsPerSecond = requestsPerSecond;
    this.#requestsLeft = requestsPerSecond;
    this.#server = createServer((incoming, outgoing) => this.#pass(incoming, outgoing));
  }

  /** `to`: `host:port`. `bytesPerSecond`: for all bodies together. */
  static async start(
    to: string,
    bytesPerSecond = Number.POSITIVE_INFINITY,
    requestsPerSecond = Number.POSITIVE_INFINITY,
  ): Promise<Relay> {
    const relay = new Relay(to, bytesPerSecond, requestsPerSecond);
    await new Promise<void>((resolve, reject) => {
      relay.#server.once('error', reject);
      relay.#server.listen(0, '127.0.0.1', resolve);
    });
    return relay;
  }

  get host(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    this.#agent.destroy();
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.#server.closeAllConnections();
    await closed;
  }

  #pass(incoming: IncomingMessage, outgoing: ServerResponse): void {
    const { method = 'GET', url = '/', headers } = incoming;
    const record: Relayed = {
      method,
      target: url,
      range: headers.range,
      hasAuthorization: headers.authorization !== undefined,
      atMs: performance.now(),
      status: 0,
      location: undefined,
      firstByteMs: undefined,
      bodyBytes: 0,
    };
    this.passed.push(record);
    if (!this.#isAllowed()) {
      record.status = 429;
      outgoing.writeHead(429, { 'content-type': 'application/json' });
      outgoing.end('{"errors":[{"code":"TOOMANYREQUESTS","message":"Rate exceeded"}]}');
      return;
    }
    const began = performance.now();
    const [host = '', port = ''] = this.#to.split(':');
    const outward = request({ host, port, method, path: url, headers, agent: this.#agent }, (answer) => {
      record.status = answer.statusCode ?? 0;
      record.location = answer.headers.location;
      outgoing.writeHead(record.status, answer.rawHeaders);
      this.#carry(answer, outgoing, record, began).catch((error: unknown) => outgoing.destroy(error as Error));
    });
    // Whoever goes away takes the other one along, as on a wire.
    outward.on('error', () => outgoing.destroy());
    outgoing.on('close', () => outward.destroy());
    incoming.pipe(outward);
  }

  #isAllowed(): boolean {
    if (this.#requestsPerSecond === Number.POSITIVE_INFINITY) return true;
    const now = performance.now();
    const since = ((now - this.#countedAtMs) / 1000) * this.#requestsPerSecond;
    this.#requestsLeft = Math.min(this.#requestsPerSecond, this.#requestsLeft + since);
    this.#countedAtMs = now;
    if (this.#requestsLeft < 1) return false;
    this.#requestsLeft--;
    return true;
  }

  async #carry(answer: IncomingMessage, outgoing: ServerResponse, record: Relayed, began: number): Promise<void> {
    for await (const chunk of answer as AsyncIterable<Buffer>) {
      await this.#turn(chunk.length);
      if (outgoing.destroyed) return;
      record.firstByteMs ??= performance.now() - began;
      record.bodyBytes += chunk.length;
      if (!outgoing.write(chunk)) await drained(outgoing);
    }
    outgoing.end();
  }

  /** Bodies take turns in the order of their chunks. */
  async #turn(bytes: number): Promise<void> {
    if (this.#bytesPerSecond === Number.POSITIVE_INFINITY) return;
    const now = performance.now();
    this.#freeAt = Math.max(this.#freeAt, now) + (bytes / this.#bytesPerSecond) * 1000;
    if (this.#freeAt - now > 2) await sleep(this.#freeAt - now);
  }
}

/** Resolves when more may be written, or nothing any more. */
function drained(outgoing: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => {
      outgoing.off('drain', end);
      outgoing.off('close', end);
      resolve();
    };
    outgoing.on('drain', end);
    outgoing.on('close', end);
  });
}
