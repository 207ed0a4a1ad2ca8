/** The body of one response as an upstream sent it: counted against its declared length, with a watch on its pace. */
import type { Readable } from 'node:stream';
import type { Clock } from '../../lib/clock.ts';
import type { UpstreamError } from '../contract/errors.ts';
import type { PatienceFlag } from '../contract/patience.ts';
import { StallWatch, type StallLimits } from '../contract/stall-watch.ts';

export interface ResponseBodyOptions {
  /** undici's body; its chunks are slices of what the socket read, used by nobody else. */
  readonly source: Readable;
  /** Bytes that the head announced; undefined where only the end of the body tells. */
  readonly declaredBytes: number | undefined;
  readonly limits: StallLimits;
  readonly patience?: PatienceFlag | undefined;
  readonly clock: Clock;
  /** Makes the error of a broken body. */
  readonly broken: (kind: 'cut' | 'timeout' | 'badResponse', reason: string, cause?: unknown) => UpstreamError;
  /** Looked at when the body is complete: what is wrong with the connection nevertheless. */
  readonly suspicion: () => Error | undefined;
  readonly onBytes: (bytes: number) => void;
  /** Called once: `isClean` when the whole body was read and nothing is wrong. */
  readonly onEnd: (isClean: boolean) => void;
}

/** More than this, or for longer, is not read just to keep a connection. */
const discardLimit = { bytes: 64 * 1024, ms: 1000 };

export class ResponseBody implements AsyncIterable<Uint8Array> {
  readonly #options: ResponseBodyOptions;
  #hasEnded = false;
  #isClean = false;

  constructor(options: ResponseBodyOptions) {
    this.#options = options;
    // Whoever reads gets the error from the iterator. Nobody may be reading when a connection breaks.
    options.source.on('error', () => undefined);
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, undefined> {
    const { source, declaredBytes, limits, patience, clock, broken, onBytes } = this.#options;
    if (this.#hasEnded) return this.#again();
    const stalled = (reason: string): void => void source.destroy(broken('timeout', reason));
    const watch = new StallWatch(limits, clock, stalled, patience);
    let readBytes = 0;
    try {
      const chunks: AsyncIterator<Uint8Array> = source[Symbol.asyncIterator]();
      for (;;) {
        watch.waiting();
        const next = await chunks.next();
        if (next.done === true) break;
        watch.arrived(next.value.byteLength);
        onBytes(next.value.byteLength);
        readBytes += next.value.byteLength;
        if (declaredBytes !== undefined && readBytes > declaredBytes) throw broken('badResponse', 'more than declared');
        yield next.value;
      }
      if (declaredBytes !== undefined && readBytes < declaredBytes) throw broken('cut', 'less than declared');
      this.#checkEnd();
      this.#end(true);
    } catch (cause) {
      throw broken('cut', '', cause);
    } finally {
      watch.end();
      if (!this.#hasEnded) source.destroy();
      this.#end(false);
    }
  }

  async discard(): Promise<void> {
    if (this.#hasEnded) return;
    if ((this.#options.declaredBytes ?? 0) > discardLimit.bytes) return this.abort();
    using _limit = this.#options.clock.setTimer(discardLimit.ms, () => this.abort());
    let left = discardLimit.bytes;
    try {
      for await (const chunk of this) if ((left -= chunk.byteLength) < 0) break;
    } catch {
      // Nobody wants these bytes: that they broke matters for the connection only, and that has been given up.
    }
    return undefined;
  }

  abort(): void {
    if (this.#hasEnded) return;
    this.#options.source.destroy(this.#options.broken('cut', 'given up by us'));
    this.#end(false);
  }

  /** A body without length looks complete when its connection is reset, and a longer one than declared is clipped. */
  #checkEnd(): void {
    const { suspicion, declaredBytes, broken } = this.#options;
    const cause = suspicion();
    if (cause === undefined) return;
    throw broken(declaredBytes === undefined ? 'cut' : 'badResponse', 'followed by something else', cause);
  }

  /** There is nothing left of a body that was read to its end; one that was given up must not look like that. */
  #again(): void {
    if (!this.#isClean) throw this.#options.broken('cut', 'given up by us');
  }

  #end(isClean: boolean): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#isClean = isClean;
    this.#options.onEnd(isClean);
  }
}
