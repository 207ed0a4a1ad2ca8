/**
 * An HTTP/1.1 client on a bare socket, which sees what a library hides: whether a body ended as its framing promised, and
 * whether the connection was closed or reset. It can read slowly, stop reading, leave at an offset, pipeline, and send
 * any bytes.
 */
import { createHash } from 'node:crypto';
import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { ByteReader, headerMap } from './byte-reader.ts';
import { type Gate, patienceMs, within } from './gate.ts';

export interface RawHead {
  readonly version: string;
  readonly status: number;
  readonly reason: string;
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string>>;
  readonly rawHeaders: readonly (readonly [string, string])[];
}

export interface BodyOptions {
  /** Keep the bytes (default). Without it only `bytes` and `sha256` are there. */
  readonly keep?: boolean;
  /** Real bytes per second at most. */
  readonly bytesPerSecond?: number;
  /** After this many bytes stop reading until the gate lets go. */
  readonly stall?: { readonly at: number; readonly gate: Gate };
  /** After this many bytes leave: `fin` closes politely, `rst` resets. */
  readonly leave?: { readonly at: number; readonly how: 'fin' | 'rst' };
  readonly onBytes?: (total: number) => void;
}

export interface RawBody {
  /** Empty when the bytes were not kept. */
  readonly body: Buffer;
  readonly bytes: number;
  /** `sha256:…` of the bytes that came. */
  readonly sha256: string;
  /** The body is complete by its own framing: length reached, last chunk seen, or closed (not reset) when neither is there. */
  readonly cleanEnd: boolean;
  readonly reset: boolean;
}

export type RawResponse = RawHead & RawBody;

/** Thrown when the connection ends before a complete head. */
export class NoResponseError extends Error {
  readonly reset: boolean;

  constructor(reset: boolean) {
    super(reset ? 'connection reset before a response' : 'connection closed before a response');
    this.name = 'NoResponseError';
    this.reset = reset;
  }
}

export interface RequestOptions {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>> | readonly (readonly [string, string])[];
  readonly body?: string | Uint8Array;
  readonly version?: '1.0' | '1.1';
}

export class RawConnection implements Disposable {
  readonly socket: Socket;
  readonly #reader: ByteReader;
  readonly #host: string;

  private constructor(socket: Socket, host: string) {
    this.socket = socket;
    this.#host = host;
    this.#reader = new ByteReader(socket);
  }

  /** Connects to the origin of `url`. A TLS certificate is not checked. */
  static async open(url: string): Promise<RawConnection> {
    const { hostname, port, host, protocol } = new URL(url);
    const address = {
      host: hostname.replace(/^\[|\]$/g, ''),
      port: Number(port === '' ? (protocol === 'https:' ? 443 : 80) : port),
    };
    const isTls = protocol === 'https:';
    const socket = isTls ? connectTls({ ...address, rejectUnauthorized: false }) : connectTcp(address);
    const connected = new Promise<void>((resolve, reject) => {
      socket.once(isTls ? 'secureConnect' : 'connect', resolve);
      socket.once('error', reject);
    });
    await within(patienceMs, connected, () => `a connection to ${url}`);
    return new RawConnection(socket, host);
  }

  /** Sends exactly these bytes. */
  write(bytes: string | Uint8Array): void {
    this.socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes);
  }

  /** Sends one request. `target` goes out as it is. Host is added unless given. */
  send(target: string, { method = 'GET', headers = {}, body, version = '1.1' }: RequestOptions = {}): void {
    const lines = isLines(headers) ? [...headers] : Object.entries(headers);
    if (!lines.some(([name]) => name.toLowerCase() === 'host')) lines.unshift(['Host', this.#host]);
    if (body !== undefined) lines.push(['Content-Length', String(Buffer.byteLength(body))]);
    this.write(
      `${method} ${target} HTTP/${version}\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`,
    );
    if (body !== undefined) this.write(body);
  }

  /** Reads the next head; 1xx answers are skipped. */
  async head(): Promise<RawHead> {
    for (;;) {
      const statusLine = await this.#reader.line();
      const rawHeaders = statusLine === undefined ? undefined : await this.#reader.headerLines();
      if (statusLine === undefined || rawHeaders === undefined) throw new NoResponseError(this.#reader.end === 'reset');
      const [, version = '', status = '0', reason = ''] = /^HTTP\/(\S+) ([0-9]{3}) ?(.*)$/.exec(statusLine) ?? [];
      if (Number(status) >= 200 || Number(status) === 0) {
        return { version, status: Number(status), reason, headers: headerMap(rawHeaders), rawHeaders };
      }
    }
  }

  /** Reads the body that belongs to `head`, the answer to a request with `method`. */
  async body(head: RawHead, method = 'GET', options: BodyOptions = {}): Promise<RawBody> {
    const sink = new BodySink(options, this);
    const cleanEnd = await this.#readBody(head, method, sink);
    return { ...sink.result(), cleanEnd, reset: this.#reader.end === 'reset' };
  }

  /** Resolves how the other side ended the connection; whatever still comes is read and dropped. */
  async ended(): Promise<'fin' | 'reset' | 'closed'> {
    const drain = async (): Promise<void> => {
      while ((await this.#reader.some(65_536)) !== undefined);
    };
    await within(patienceMs, drain(), () => 'the end of a connection');
    return this.#reader.end === 'open' ? 'closed' : this.#reader.end;
  }

  close(how: 'fin' | 'rst' = 'fin'): void {
    if (how === 'rst') this.socket.resetAndDestroy();
    else this.socket.destroy();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  async #readBody(head: RawHead, method: string, sink: BodySink): Promise<boolean> {
    if (method === 'HEAD' || head.status === 204 || head.status === 304) return true;
    if (/\bchunked$/i.test(head.headers['transfer-encoding'] ?? '')) return this.#readChunks(sink);
    const length = head.headers['content-length'];
    if (length !== undefined) return this.#readLength(Number(length), sink);
    return (await this.#readLength(Infinity, sink)) || (this.#reader.end === 'fin' && !sink.hasLeft);
  }

  async #readLength(length: number, sink: BodySink): Promise<boolean> {
    for (let left = length; left > 0;) {
      const part = await this.#reader.some(Math.min(left, sink.appetite()));
      if (part === undefined || !(await sink.take(part))) return false;
      left -= part.length;
    }
    return true;
  }

  async #readChunks(sink: BodySink): Promise<boolean> {
    for (;;) {
      const size = parseInt((await this.#reader.line()) ?? '', 16);
      if (Number.isNaN(size)) return false;
      if (size === 0) return (await this.#reader.headerLines()) !== undefined;
      if (!(await this.#readLength(size, sink)) || (await this.#reader.line()) === undefined) return false;
    }
  }
}

/** Takes body bytes at the pace and up to the point that the options say. */
class BodySink {
  readonly #hash = createHash('sha256');
  readonly #parts: Buffer[] = [];
  readonly #options: BodyOptions;
  readonly #connection: RawConnection;
  readonly #startedMs = performance.now();
  #bytes = 0;
  hasLeft = false;

  constructor(options: BodyOptions, connection: RawConnection) {
    this.#options = options;
    this.#connection = connection;
  }

  /** How much to read at most, so that stops happen exactly where they are wanted. */
  appetite(): number {
    const { stall, leave, bytesPerSecond } = this.#options;
    const stops = [stall?.at, leave?.at].filter((at) => at !== undefined && at > this.#bytes);
    const pace = bytesPerSecond === undefined ? 65_536 : Math.max(1, Math.ceil(bytesPerSecond / 50));
    return Math.min(pace, 65_536, ...stops.map((at) => (at ?? 0) - this.#bytes));
  }

  /** False when the client has left. */
  async take(part: Buffer): Promise<boolean> {
    const { keep = true, stall, leave, bytesPerSecond, onBytes } = this.#options;
    this.#hash.update(part);
    if (keep) this.#parts.push(Buffer.from(part));
    this.#bytes += part.length;
    onBytes?.(this.#bytes);
    if (leave !== undefined && this.#bytes >= leave.at) {
      this.#connection.close(leave.how);
      this.hasLeft = true;
      return false;
    }
    if (stall !== undefined && this.#bytes === stall.at) await stall.gate.pass();
    if (bytesPerSecond !== undefined) {
      const aheadMs = (this.#bytes / bytesPerSecond) * 1000 - (performance.now() - this.#startedMs);
      if (aheadMs > 1) await new Promise((resolve) => setTimeout(resolve, aheadMs));
    }
    return true;
  }

  result(): Pick<RawBody, 'body' | 'bytes' | 'sha256'> {
    return { body: Buffer.concat(this.#parts), bytes: this.#bytes, sha256: `sha256:${this.#hash.digest('hex')}` };
  }
}

/** One request on a connection of its own. Rejects with NoResponseError when no head comes, and after `timeoutMs`. */
export async function rawFetch(
  url: string,
  options: RequestOptions & BodyOptions & { readonly timeoutMs?: number } = {},
): Promise<RawResponse> {
  const { method = 'GET', timeoutMs = patienceMs } = options;
  using connection = await RawConnection.open(url);
  const exchange = async (): Promise<RawResponse> => {
    connection.send(url.slice(new URL(url).origin.length) || '/', options);
    const head = await connection.head();
    return { ...head, ...(await connection.body(head, method, options)) };
  };
  // Awaited here, because the connection is disposed on return.
  return await within(timeoutMs, exchange(), () => `${method} ${url}`);
}

function isLines(headers: NonNullable<RequestOptions['headers']>): headers is readonly (readonly [string, string])[] {
  return Array.isArray(headers);
}
