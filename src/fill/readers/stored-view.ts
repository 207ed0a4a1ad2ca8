/** A blob that lies in the store. Nothing is opened before a body is wanted. */
import type { Digest } from '../../oci/digest.ts';
import type { BlobInfo, BlobStore, OpenBlob } from '../../store/contract/blob-store.ts';
import type { BlobReader, BlobView, BodySpan } from '../contract/blob-view.ts';
import { BrokenBodyError } from '../contract/errors.ts';
import type { Outcome } from '../../headers/cache-status.ts';

export interface StoredViewOptions {
  readonly store: Pick<BlobStore, 'open'>;
  readonly info: BlobInfo;
  readonly outcome: Outcome;
  /** The blob was evicted, or found to be unreadable, between the look and the opening: a view that brings it again. */
  readonly refill: (signal: AbortSignal) => Promise<BlobView>;
}

export class StoredView implements BlobView {
  readonly digest: Digest;
  readonly sizeBytes: number;
  readonly #options: StoredViewOptions;
  #refilled: BlobView | undefined;

  constructor(options: StoredViewOptions) {
    this.#options = options;
    this.digest = options.info.digest;
    this.sizeBytes = options.info.sizeBytes;
  }

  get outcome(): Outcome {
    return (this.#refilled ?? this.#options).outcome;
  }

  get isProved(): boolean {
    return this.#refilled?.isProved ?? true;
  }

  proved(): Promise<void> {
    return Promise.resolve();
  }

  async open(span: BodySpan, signal: AbortSignal): Promise<BlobReader> {
    const blob = await this.#options.store.open(this.digest);
    if (blob !== undefined) return new StoredReader(blob, { start: span.start, end: span.end ?? this.sizeBytes });
    this.#refilled ??= await this.#options.refill(signal);
    const { sizeBytes } = this.#refilled;
    // The client was, or will be, told another one (engine.md rule 3), and what is withheld depends on it: in a blob that
    // is said to be larger, all of this one would look like a part.
    if (sizeBytes !== undefined && sizeBytes !== this.sizeBytes) {
      throw new BrokenBodyError(`the blob has ${sizeBytes} bytes, and ${this.sizeBytes} were announced`);
    }
    return this.#refilled.open(span, signal);
  }

  close(): void {
    this.#refilled?.close();
  }
}

class StoredReader implements BlobReader {
  readonly #blob: OpenBlob;
  readonly #end: number;
  #isClosed = false;

  constructor(blob: OpenBlob, span: { readonly start: number; readonly end: number }) {
    this.#blob = blob;
    this.#end = span.end;
  }

  get fd(): number | undefined {
    return this.#blob.fd;
  }

  readable(): number {
    return this.#end;
  }

  async read(buffer: Uint8Array, offset: number, length: number, position: number): Promise<number> {
    const count = await this.#blob.read(buffer, offset, Math.min(length, this.#end - position), position);
    if (count === 0) throw new BrokenBodyError(`the stored blob ends at ${position}`);
    return count;
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    // Owned here: closing a shared read-only descriptor; there is nobody left to tell about a failure.
    void this.#blob.close().catch(() => undefined);
  }
}
