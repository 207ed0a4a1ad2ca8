/** Writes an answer to a socket: framing, pace, and whatever is to happen at the places of a script. */
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { brotliCompressSync, gzipSync } from 'node:zlib';
import { sourceOf } from '../byte-source.ts';
import { type Behaviour, type Framing, type Place } from './behaviour.ts';
import type { RateLimit } from './rate-limit.ts';
import type { Reply } from './reply.ts';
import type { RecordedRequest } from './request.ts';

/** Whether the connection can take another request. */
export type Sent = 'keep' | 'close' | 'gone';

export async function sendReply(
  socket: Socket,
  request: RecordedRequest,
  reply: Reply,
  behaviour: Behaviour,
): Promise<Sent> {
  const sender = new Sender(socket, request, shape(reply, behaviour), behaviour);
  try {
    return await sender.run();
  } catch (error) {
    if (error instanceof ConnectionGone) return 'gone';
    throw error;
  } finally {
    request.endedAtMs = performance.now();
    request.isAbandoned = sender.wasAbandoned;
  }
}

class ConnectionGone extends Error {}

const beneath = new WeakMap<Socket, Socket>();

/** TLS on the server's side of a connection. */
export function secure(socket: Socket, options: { cert: string; key: string }): Socket {
  const wrapped = new TLSSocket(socket, { isServer: true, ...options });
  beneath.set(wrapped, socket);
  return wrapped;
}

/** Ends a connection with RST, also one with TLS, whose own socket cannot. */
export function resetSocket(socket: Socket): void {
  (beneath.get(socket) ?? socket).resetAndDestroy();
  socket.destroy();
}

/** Applies everything about a behaviour that concerns content. */
function shape(reply: Reply, behaviour: Behaviour): Reply {
  const shaped: Reply = { ...reply, headers: { ...reply.headers } };
  if (behaviour.damage !== undefined) shaped.body = sourceOf(behaviour.damage(all(shaped)));
  if (behaviour.encode !== undefined) {
    shaped.body = sourceOf((behaviour.encode === 'gzip' ? gzipSync : brotliCompressSync)(all(shaped)));
    setHeader(shaped, 'Content-Encoding', behaviour.encode);
  }
  for (const [name, value] of Object.entries(behaviour.headers ?? {})) setHeader(shaped, name, value);
  return shaped;
}

function all({ body }: Reply): Uint8Array {
  return body.bytes(0, body.sizeBytes);
}

function setHeader(reply: Reply, name: string, value: string | readonly string[] | undefined): void {
  for (const key of Object.keys(reply.headers)) {
    if (key.toLowerCase() === name.toLowerCase()) delete reply.headers[key];
  }
  if (value !== undefined) reply.headers[name] = value;
}

class Sender {
  readonly #socket: Socket;
  readonly #request: RecordedRequest;
  readonly #reply: Reply;
  readonly #behaviour: Behaviour;
  readonly #rate: RateLimit | undefined;
  readonly #framing: Framing;
  readonly #hasBody: boolean;
  #didCut = false;

  constructor(socket: Socket, request: RecordedRequest, reply: Reply, behaviour: Behaviour) {
    this.#socket = socket;
    this.#request = request;
    this.#reply = reply;
    this.#behaviour = behaviour;
    this.#rate = typeof behaviour.rate === 'function' ? behaviour.rate() : behaviour.rate;
    this.#framing = behaviour.framing ?? 'length';
    this.#hasBody = request.method !== 'HEAD' && reply.status !== 204 && reply.status !== 304;
  }

  get wasAbandoned(): boolean {
    return !this.#request.isComplete && !this.#didCut && this.#socket.destroyed;
  }

  async run(): Promise<Sent> {
    const { raw, trailing, last } = this.#behaviour;
    await this.#pointsAt('before');
    if (raw !== undefined) {
      await this.#write(Buffer.from(raw));
      this.#request.isComplete = true;
      return 'close';
    }
    this.#request.status = this.#reply.status;
    this.#request.span = this.#hasBody ? this.#reply.span : undefined;
    await this.#head();
    if (this.#hasBody) await this.#body();
    if (trailing !== undefined) await this.#write(Buffer.from(trailing));
    this.#request.isComplete = true;
    const isDelimited = this.#framing === 'length' || this.#framing === 'chunked' || !this.#hasBody;
    return last !== undefined || !isDelimited || /close/i.test(this.#request.headers['connection'] ?? '')
      ? 'close'
      : 'keep';
  }

  async #head(): Promise<void> {
    const version = this.#framing === 'close-1.0' ? '1.0' : '1.1';
    const statusLine = `HTTP/${version} ${this.#reply.status} Scripted\r\n`;
    const lines = Object.entries(this.#headers()).flatMap(([name, value]) =>
      [value].flat().map((one) => `${name}: ${one}\r\n`),
    );
    const text = `${lines.join('')}\r\n`;
    if (!this.#hasPoint('status') && !this.#hasPoint('headers')) {
      await this.#write(Buffer.from(statusLine + text, 'latin1'));
      return;
    }
    await this.#write(Buffer.from(statusLine.slice(0, 9), 'latin1'));
    await this.#pointsAt('status');
    const half = text.length >> 1;
    await this.#write(Buffer.from(statusLine.slice(9) + text.slice(0, half), 'latin1'));
    await this.#pointsAt('headers');
    await this.#write(Buffer.from(text.slice(half), 'latin1'));
  }

  #headers(): Record<string, string | readonly string[]> {
    const set = { Date: new Date().toUTCString(), ...this.#reply.headers };
    const declared = this.#behaviour.declaredLength ?? this.#reply.body.sizeBytes;
    const isBodiless = this.#reply.status === 204 || this.#reply.status === 304;
    return {
      ...set,
      ...(this.#framing === 'length' && !isBodiless ? { 'Content-Length': String(declared) } : {}),
      ...(this.#framing === 'chunked' ? { 'Transfer-Encoding': 'chunked' } : {}),
      ...(this.#behaviour.last === 'announced' || this.#framing === 'close' ? { Connection: 'close' } : {}),
    };
  }

  async #body(): Promise<void> {
    const { sizeBytes } = this.#reply.body;
    const step = this.#rate?.stepBytes ?? 65_536;
    const stops = (this.#behaviour.points ?? [])
      .map(({ at }) => at)
      .filter((at) => typeof at === 'number')
      .map((at) => (at < 0 ? sizeBytes + at : at))
      .toSorted((a, b) => a - b);
    for (let at = 0; at < sizeBytes;) {
      await this.#pointsAt(at);
      const stop = stops.find((place) => place > at) ?? sizeBytes;
      const end = Math.min(at + step, stop, sizeBytes);
      await this.#rate?.take(end - at);
      const bytes = this.#reply.body.bytes(at, end);
      await this.#write(this.#framing === 'chunked' ? chunk(bytes) : bytes);
      this.#request.bodyBytes += bytes.length;
      at = end;
    }
    await this.#pointsAt(sizeBytes);
    await this.#pointsAt('body-end');
    if (this.#framing === 'chunked') await this.#write(Buffer.from('0\r\n\r\n'));
  }

  #hasPoint(place: Place): boolean {
    return (this.#behaviour.points ?? []).some(({ at }) => at === place);
  }

  async #pointsAt(place: Place): Promise<void> {
    const size = this.#reply.body.sizeBytes;
    for (const { at, action } of this.#behaviour.points ?? []) {
      if ((typeof at === 'number' && at < 0 ? size + at : at) !== place) continue;
      if (action === 'stall') await this.#orGone(new Promise<void>(() => undefined));
      else if (typeof action === 'object') await this.#orGone(action.pass());
      else {
        this.#didCut = true;
        if (action === 'rst') resetSocket(this.#socket);
        else await this.#orGone(new Promise<void>((resolve) => this.#socket.end(() => resolve())));
        this.#socket.destroy();
        throw new ConnectionGone();
      }
    }
  }

  /** Resolves when the bytes have left this process. */
  #write(bytes: Uint8Array): Promise<void> {
    if (bytes.length === 0) return Promise.resolve();
    return this.#orGone(
      new Promise<void>((resolve, reject) => {
        this.#socket.write(bytes, (error) => (error ? reject(new ConnectionGone()) : resolve()));
      }),
    );
  }

  async #orGone(work: Promise<void>): Promise<void> {
    if (this.#socket.destroyed) {
      // Nobody will wait for it, and a write to a socket that has gone fails later.
      work.catch(() => undefined);
      throw new ConnectionGone();
    }
    const gone = Promise.withResolvers<never>();
    const onClose = (): void => gone.reject(new ConnectionGone());
    this.#socket.once('close', onClose);
    try {
      await Promise.race([work, gone.promise]);
    } finally {
      this.#socket.off('close', onClose);
    }
  }
}

function chunk(bytes: Uint8Array): Uint8Array {
  return Buffer.concat([Buffer.from(`${bytes.length.toString(16)}\r\n`), bytes, Buffer.from('\r\n')]);
}
