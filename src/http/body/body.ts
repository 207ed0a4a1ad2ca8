/**
 * The only place that sends blob bytes.
 *
 * A large body whose bytes lie in a file goes past the socket by sendfile, where that can be had (sendfile.ts). All others
 * go from a positional reader into a pooled buffer and from there into the socket. A reader that is slow, or new, has one
 * small buffer at a time (two for short parts, http/v2/short-parts.ts), and none while it waits for a transfer; one that
 * keeps up gets two large ones, of which one fills while the other drains. A body either ends complete or its connection is
 * broken: a failure never turns into a clean end, and nothing is ever appended.
 */
import type { ServerResponse } from 'node:http';
import type { BlobReader, BodySpan } from '../../fill/contract/blob-view.ts';
import { BrokenBodyError } from '../../fill/contract/errors.ts';
import type { Clock } from '../../lib/clock.ts';
import type { BufferPool } from './buffer-pool.ts';
import { ClientGoneError } from '../request/exchange.ts';
import { breakConnection } from '../listener/pipelining.ts';
import type { Outlet, Sendfile } from './sendfile.ts';
import type { StallWatch, Watched } from './stalled-clients.ts';

export interface BodyTools {
  readonly pool: BufferPool;
  /** Undefined where it cannot be had. */
  readonly sendfile: Sendfile | undefined;
  readonly stalls: StallWatch;
  readonly clock: Clock;
}

/** More than the sockets of both ends take by themselves (Linux: 4 MiB to send, and some): whoever is past it reads. */
const provenBytes = 8 * 1024 * 1024;
/** A buffer that took longer to leave belongs to a reader that would only keep a larger one longer. */
const promptMs = 1_000;
/** Below this a duplicated descriptor costs more than copying. */
const leastSendfileBytes = 64 * 1024;
/** What a full socket is given to tell when it has room again, and all that a reader that has stopped keeps. */
const signalBytes = 4 * 1024;

const nothing = Buffer.alloc(0);

/** The body of one response, in one or more pieces, in order. The head is written; the response is this object's now. */
export class BodyWriter implements Watched {
  /** Bytes of blobs that the socket has taken; framing of multipart bodies does not count. */
  bytesSent = 0;
  readonly #res: ServerResponse;
  readonly #tools: BodyTools;
  readonly #onClose = (): void => this.#settle(false);
  readonly #onTaken = (error?: Error | null): void => this.#settle(error === undefined || error === null);
  #pendingSinceMs: number | undefined;
  #inFlight: { readonly buffer: Buffer; readonly blobBytes: number; readonly isPooled: boolean } | undefined;
  #taken: PromiseWithResolvers<boolean> | undefined;
  #isGone: boolean;
  #keepsUp = false;
  /** The head, or text between spans, may still be on its way to the socket. */
  #hasText = true;
  #outlet: Outlet | undefined;
  #signal: Buffer | undefined;

  constructor(res: ServerResponse, tools: BodyTools) {
    this.#res = res;
    this.#tools = tools;
    this.#isGone = res.closed || res.destroyed || res.socket === null || res.socket.destroyed;
    res.once('close', this.#onClose);
    tools.stalls.add(this);
  }

  get pendingSinceMs(): number | undefined {
    return this.#pendingSinceMs;
  }

  /** Breaks the connection of a reader that takes nothing. */
  cut(): void {
    breakConnection(this.#res.socket);
  }

  /** Sends text between spans. */
  text(text: string): void {
    // Not counted against memory: it is short, and the span after it waits until the socket has taken it too.
    this.#hasText = true;
    if (!this.#isGone) this.#res.write(text, 'latin1');
  }

  /** Sends `span`, whose bytes `reader` has. Rejects with the reader's error, or ClientGoneError. */
  async span(reader: BlobReader, span: BodySpan, signal: AbortSignal): Promise<void> {
    let position = span.start;
    // The end goes through the socket itself: only then is the answer over before its client can be seen to leave. Without
    // a length the body is framed chunk by chunk.
    const pourEnd = span.end !== undefined && span.end - span.start >= leastSendfileBytes ? span.end - signalBytes : 0;
    while (position !== span.end) {
      const promised = reader.readable(position, signal);
      const end = typeof promised === 'number' ? promised : await promised;
      if (end <= position) break;
      const outlet = position < pourEnd && reader.fd !== undefined ? this.#open() : undefined;
      position +=
        outlet === undefined
          ? await this.#move(reader, position, Math.min(end, span.end ?? end) - position)
          : await this.#pour(outlet, reader, position, Math.min(end, pourEnd) - position);
    }
    await this.#drained();
    // A reader that ends early would leave the client waiting for bytes that were declared.
    if (span.end !== undefined && position !== span.end) {
      throw new BrokenBodyError(`the body ended at ${position} of ${span.end}`);
    }
  }

  /** Sends the start of a buffer of the pool, which is this object's from here on. Of these bytes, `blobBytes` are the blob's. */
  async buffer(buffer: Buffer, length: number, blobBytes: number): Promise<void> {
    try {
      await this.#drained();
    } catch (error) {
      this.#tools.pool.release(buffer);
      throw error;
    }
    this.#write(buffer, length, true, blobBytes);
  }

  /** Resolves when the socket has taken everything so far but text. Rejects with ClientGoneError. */
  taken(): Promise<void> {
    return this.#drained();
  }

  /** Ends a complete body. */
  end(): void {
    this.#release();
    this.#res.end();
  }

  /** Ends an incomplete one. */
  break(): void {
    this.#release();
    breakConnection(this.#res.socket);
  }

  /** Undefined when this body goes through buffers. */
  #open(): Outlet | undefined {
    this.#outlet ??= this.#tools.sendfile?.open(this.#res.socket);
    return this.#outlet?.isUsable === true ? this.#outlet : undefined;
  }

  /** Resolves how many bytes went past the socket, or are in flight when it was full. */
  async #pour(outlet: Outlet, reader: BlobReader, position: number, available: number): Promise<number> {
    await this.#drained();
    if (this.#hasText) {
      this.#hasText = false;
      this.#write(nothing, 0, false);
      await this.#drained();
    }
    const sent = reader.fd === undefined ? 0 : await outlet.send(reader.fd, position, available);
    if (sent > 0) {
      this.bytesSent += sent;
      reader.sent?.(sent);
      return sent;
    }
    this.#signal ??= Buffer.allocUnsafeSlow(signalBytes);
    const length = await reader.read(this.#signal, 0, Math.min(signalBytes, available), position);
    await this.#drained();
    this.#write(this.#signal, length, false);
    return length;
  }

  async #move(reader: BlobReader, position: number, available: number): Promise<number> {
    if (!this.#keepsUp) await this.#drained();
    const buffer = this.#keepsUp ? this.#tools.pool.takeLarge() : this.#tools.pool.takeSmall();
    let length: number;
    try {
      length = await reader.read(buffer, 0, Math.min(buffer.byteLength, available), position);
      await this.#drained();
    } catch (error) {
      this.#tools.pool.release(buffer);
      throw error;
    }
    this.#write(buffer, length, true);
    return length;
  }

  #write(buffer: Buffer, length: number, isPooled: boolean, blobBytes = length): void {
    this.#inFlight = { buffer, blobBytes, isPooled };
    this.#taken = Promise.withResolvers();
    this.#pendingSinceMs = this.#tools.clock.monotonic();
    this.#res.write(length === buffer.byteLength ? buffer : buffer.subarray(0, length), this.#onTaken);
  }

  /** Resolves when nothing is in flight. Rejects when the client has left. */
  async #drained(): Promise<void> {
    if (this.#taken !== undefined) await this.#taken.promise;
    if (this.#isGone) throw new ClientGoneError();
  }

  /** The socket took the buffer, or is closed: in both cases nobody reads the buffer any more. */
  #settle(isTaken: boolean): void {
    if (!isTaken) this.#isGone = true;
    const flight = this.#inFlight;
    if (flight === undefined) return;
    this.#inFlight = undefined;
    if (isTaken) {
      this.bytesSent += flight.blobBytes;
      const tookMs = this.#tools.clock.monotonic() - (this.#pendingSinceMs ?? 0);
      this.#keepsUp = this.bytesSent >= provenBytes && tookMs < promptMs;
    }
    this.#pendingSinceMs = undefined;
    if (flight.isPooled) this.#tools.pool.release(flight.buffer);
    this.#taken?.resolve(isTaken);
    this.#taken = undefined;
  }

  #release(): void {
    this.#outlet?.close();
    this.#tools.stalls.delete(this);
    // A buffer in flight stays with the socket until that has taken it or is closed.
    if (this.#inFlight === undefined) this.#res.off('close', this.#onClose);
  }
}
