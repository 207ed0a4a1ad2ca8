/**
 * An upstream of one blob, scripted per request: for tests of the fill engine that need exact control over which byte
 * arrives when. Everything it is asked and everything it hands out is recorded.
 */
import type { Digest } from '../../../src/oci/digest.ts';
import { digestOf } from '../../../src/oci/digest.ts';
import { UpstreamError } from '../../../src/upstream/contract/errors.ts';
import { Transfers } from '../../../src/upstream/limits/transfers.ts';
import type { TransferSlot, TransferTerms } from '../../../src/upstream/contract/transfer-slot.ts';
import type { BlobBody, BlobRequest, Upstream } from '../../../src/upstream/contract/upstream.ts';
import type { Gate } from '../../support/gate.ts';

export interface Asked {
  readonly repository: string;
  /** `whole`, or the half-open range that was asked for. */
  readonly range: 'whole' | readonly [number, number];
  readonly avoided: readonly string[];
}

/** What one request does; the default sends everything right. */
export interface Script {
  /** Rejects instead of answering. */
  readonly fail?: UpstreamError;
  /** Breaks the body after this many bytes. */
  readonly cutAfter?: number;
  /** Bytes sent in place of the right ones. */
  readonly bytes?: Uint8Array;
  /** Answers a range with 200 and everything. */
  readonly ignoreRange?: boolean;
  /** Declares this size instead of the right one (`unknown`: none). */
  readonly declare?: number | 'unknown';
  /** Held before the head. */
  readonly beforeHead?: Promise<void>;
  /** Called before each chunk; holding it holds the body. */
  readonly beforeChunk?: (position: number) => Promise<void> | undefined;
  readonly endpoint?: string;
}

/** Holds the first request's body once `bytes` of it have left; `others` say what the rest do. */
export function holdFirst(
  gate: Gate,
  bytes: number,
  others: BlobUpstream['script'] = () => ({}),
): BlobUpstream['script'] {
  const held: Script = { beforeChunk: (position) => (position >= bytes ? gate.pass() : undefined) };
  return (request, index) => (index === 0 ? held : others(request, index));
}

export class BlobUpstream implements Upstream {
  readonly key: string;
  readonly hasCredential = false;
  readonly digest: Digest;
  readonly asked: Asked[] = [];
  /** Bytes handed out. */
  sentBytes = 0;
  /** Bodies that were read to their end, which leaves a connection that can be used again. */
  completeBodies = 0;
  /** Bodies that are open now. */
  openBodies = 0;
  /** Answers that were neither read to an end, left early nor aborted: each keeps a connection busy for ever. */
  readonly held = new Set<object>();
  script: (request: BlobRequest, index: number) => Script = () => ({});
  readonly #bytes: Uint8Array;
  readonly #chunkBytes: number;
  readonly #transfers: Transfers;

  constructor(bytes: Uint8Array, options: { key?: string; chunkBytes?: number; transfers?: Transfers } = {}) {
    this.key = options.key ?? 'lab';
    this.#transfers = options.transfers ?? new Transfers(this.key, 1000);
    this.#bytes = bytes;
    this.#chunkBytes = options.chunkBytes ?? 64 * 1024;
    this.digest = digestOf(bytes);
  }

  transfer(terms: TransferTerms, signal: AbortSignal): Promise<TransferSlot> {
    return this.#transfers.acquire(terms, signal);
  }

  async openBlob(request: BlobRequest, signal: AbortSignal): Promise<BlobBody> {
    try {
      return await this.#open(request, signal);
    } catch (error) {
      request.slot?.release();
      throw error;
    }
  }

  async #open(request: BlobRequest, signal: AbortSignal): Promise<BlobBody> {
    const total = this.#bytes.byteLength;
    const { range, slot } = request;
    const span: readonly [number, number] | undefined =
      range === undefined
        ? undefined
        : range.kind === 'suffix'
          ? [Math.max(0, total - range.suffixBytes), total]
          : [range.start, Math.min(range.end, total)];
    const script = this.script(request, this.asked.length);
    this.asked.push({
      repository: request.repository,
      range: span ?? 'whole',
      avoided: [...(request.avoidEndpoints ?? [])],
    });
    await script.beforeHead;
    signal.throwIfAborted();
    if (script.fail !== undefined) throw script.fail;
    const source = script.bytes ?? this.#bytes;
    const isPart = span !== undefined && script.ignoreRange !== true;
    if (isPart && span[0] >= total) throw this.error('rangeRefused', '416', 416);
    const [start, end] = isPart ? span : [0, source.byteLength];
    const sizeBytes = script.declare === 'unknown' ? undefined : (script.declare ?? source.byteLength);
    const hold = {};
    this.held.add(hold);
    const over = (): void => {
      this.held.delete(hold);
      slot?.release();
    };
    return {
      endpoint: script.endpoint ?? 'http://lab',
      answer: isPart
        ? { kind: 'part', start, end, totalBytes: script.declare === 'unknown' ? total : (script.declare ?? total) }
        : { kind: 'whole', sizeBytes },
      chunks: this.#chunks(source, start, end, script, signal, over),
      abort: over,
    };
  }

  error(kind: ConstructorParameters<typeof UpstreamError>[0], message = kind as string, status = 0): UpstreamError {
    return new UpstreamError(kind, message, { upstream: this.key, ...(status === 0 ? {} : { status }) });
  }

  async *#chunks(
    source: Uint8Array,
    start: number,
    end: number,
    script: Script,
    signal: AbortSignal,
    over: () => void,
  ) {
    this.openBodies += 1;
    try {
      let position = start;
      const cutAt = script.cutAfter === undefined ? Infinity : start + script.cutAfter;
      while (position < end) {
        const hold = script.beforeChunk?.(position);
        if (hold !== undefined) await Promise.race([hold, aborted(signal)]);
        signal.throwIfAborted();
        if (position >= cutAt) throw this.error('cut');
        const next = Math.min(position + this.#chunkBytes, end, cutAt);
        this.sentBytes += next - position;
        yield source.slice(position, next);
        position = next;
      }
      this.completeBodies += 1;
    } finally {
      over();
      this.openBodies -= 1;
    }
  }

  statBlob = async (): Promise<{ sizeBytes: number }> => ({ sizeBytes: this.#bytes.byteLength });
  headManifest = (): Promise<never> => Promise.reject(this.error('notFound'));
  getManifest = (): Promise<never> => Promise.reject(this.error('notFound'));
  listTags = (): Promise<never> => Promise.reject(this.error('notFound'));
  listReferrers = (): Promise<never> => Promise.reject(this.error('unsupported'));
  isAt = (): boolean => false;
  close = (): Promise<void> => Promise.resolve();
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
}
