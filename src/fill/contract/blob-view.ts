/** A blob as whoever sends it sees it: a view with what the head says, and readers of its bytes by position. */
import type { Digest } from '../../oci/digest.ts';
import type { Outcome } from '../../headers/cache-status.ts';

/** Half-open `[start, end)`; `end` is undefined only for a whole body of unknown length. */
export interface BodySpan {
  readonly start: number;
  readonly end: number | undefined;
  /** Its last byte waits for the proof although the span is short: it ends an answer of several parts that is not. */
  readonly isHeldBack?: true;
}

/**
 * A blob as far as it is known when the head is written. Nothing is held open: `open` takes what a body needs, and a
 * view that is never opened costs nothing. For a fill, the view counts as a reader until `close`.
 */
export interface BlobView {
  readonly digest: Digest;
  /** Undefined while an upstream that declares no length is still sending. */
  readonly sizeBytes: number | undefined;
  /** Final when a reader was opened: what lies in the store and cannot be opened is brought again. So is `isProved`. */
  readonly outcome: Outcome;
  /** The bytes were proved; false while a fill runs. */
  readonly isProved: boolean;
  /** Resolves when the digest is proved; rejects with BrokenBodyError. For clients that cannot be told of a failure later. */
  proved(signal: AbortSignal): Promise<void>;
  /**
   * Opens the bytes of one span, proving them readable before the caller writes a status. Rejects with CacheError,
   * UpstreamError or BrokenBodyError. The caller closes the reader. Several spans may be open at once.
   */
  open(span: BodySpan, signal: AbortSignal): Promise<BlobReader>;
  /** Idempotent; every view must be closed. */
  close(): void;
}

/**
 * One client following one span, in order. The last byte of a whole body (and of ranges that are long or all of it) is not
 * readable before digest and size are proved.
 */
export interface BlobReader {
  /**
   * The descriptor, on this thread, of the file in which the bytes that `readable` promised lie; undefined when they lie
   * in none. Valid until `close`, or until `readable` is asked again. Bytes that the caller sends from there are told to
   * `sent`.
   */
  readonly fd?: number | undefined;
  /**
   * The exclusive end of what can be read now from `position`, at once or as soon as there is anything; equals
   * `position` only at the end of the span. Rejects with BrokenBodyError when it will never come.
   */
  readable(position: number, signal: AbortSignal): number | Promise<number>;
  /** Reads at most `length` bytes at `position`, inside what `readable` promised. Resolves the bytes read, at least 1. */
  read(buffer: Uint8Array, offset: number, length: number, position: number): Promise<number>;
  /** The client was sent this many bytes that were not read here. Before the next `readable`. */
  sent?(bytes: number): void;
  /** Idempotent. */
  close(): void;
}
