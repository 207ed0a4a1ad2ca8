/** A blob that the store cannot take: streamed through to one client, hashed, and kept nowhere. */
import type { Clock } from '../../lib/clock.ts';
import { Party } from '../../lib/sharing/party.ts';
import { type Digest, digestAlgorithm, digestOf, hasher } from '../../oci/digest.ts';
import { type PackedRanges, unpackRanges } from '../../headers/packed-ranges.ts';
import { resolveRanges } from '../../headers/range.ts';
import type { Repository } from '../../oci/reference.ts';
import type { BlobBody, Upstream } from '../../upstream/contract/upstream.ts';
import type { BlobReader, BlobView, BodySpan } from '../contract/blob-view.ts';
import { BrokenBodyError, CacheError } from '../contract/errors.ts';
import type { CacheEvents } from '../contract/events.ts';
import { isPart } from './reader.ts';
import type { Outcome } from '../../headers/cache-status.ts';
import { type Run, runsOf, SharedTail } from './part-runs.ts';
import { Sources } from '../download/sources.ts';
import { TailReader } from './passthrough-reader.ts';

/** Bodies up to this are proved in memory before a head is written. */
export const proveFirstBytes = 64 * 1024;

export interface PassthroughOptions {
  readonly upstream: Upstream;
  readonly digest: Digest;
  readonly repository: Repository;
  readonly client: string;
  readonly clock: Clock;
  readonly events: Pick<CacheEvents, 'unprovedRangeBytes'>;
  /** What the client asked for, when it is not the whole: a body from byte 0 would probably be wasted. */
  readonly ranges: PackedRanges | undefined;
  /** Where it is known. */
  readonly sizeBytes?: number | undefined;
}

/** Asks the upstream; resolves once the size, or that there is none, is known. Rejects with UpstreamError or CacheError. */
export async function openPassthrough(options: PassthroughOptions, signal: AbortSignal): Promise<BlobView> {
  const { upstream, digest, repository, client, ranges } = options;
  let body: BlobBody | undefined;
  let { sizeBytes } = options;
  if (ranges === undefined) {
    body = await upstream.openBlob({ repository, digest, party: new Party('normal', client) }, signal);
    sizeBytes = body.answer.kind === 'whole' ? body.answer.sizeBytes : body.answer.totalBytes;
  } else sizeBytes ??= (await upstream.statBlob(repository, digest, signal, { client })).sizeBytes;
  const view = new PassthroughView(options, sizeBytes, body);
  if (sizeBytes === undefined || sizeBytes > proveFirstBytes) return view;
  return memoryView(view, options, sizeBytes, signal);
}

class PassthroughView implements BlobView {
  readonly digest: Digest;
  readonly sizeBytes: number | undefined;
  readonly outcome: Outcome = { kind: 'bypass' };
  readonly isProved = false;
  readonly #options: PassthroughOptions;
  /** Those that were asked for, in the order in which they are opened. */
  readonly #parts: readonly BodySpan[];
  /** Of each of them. */
  readonly #runs: readonly Run[];
  /** The last of parts that are everything together: it ends with the proof, as everything does. */
  readonly #heldBack: Run | undefined;
  readonly #tails = new Map<Run, SharedTail>();
  #opened = 0;
  #body: BlobBody | undefined;

  constructor(options: PassthroughOptions, sizeBytes: number | undefined, body: BlobBody | undefined) {
    const { digest, ranges } = options;
    this.#options = options;
    this.digest = digest;
    this.sizeBytes = sizeBytes;
    this.#body = body;
    const resolved = ranges && sizeBytes !== undefined ? resolveRanges(unpackRanges(ranges), sizeBytes) : undefined;
    const spans = resolved?.kind === 'multi' ? resolved.spans : [];
    this.#parts = spans;
    this.#runs = runsOf(spans);
    const total = spans.reduce((sum, { start, end }) => sum + end - start, 0);
    this.#heldBack = total === sizeBytes ? this.#runs.at(-1) : undefined;
  }

  proved(): Promise<void> {
    return Promise.reject(new BrokenBodyError('a blob that is only passed through cannot be proved beforehand'));
  }

  open(span: BodySpan): Promise<BlobReader> {
    const part = this.#parts[this.#opened];
    const run = part?.start === span.start && part.end === span.end ? this.#runs[this.#opened] : undefined;
    if (run === undefined) return Promise.resolve(this.#transfer(span));
    this.#opened += 1;
    let tail = this.#tails.get(run);
    if (tail === undefined) {
      const parts = this.#runs.filter((one) => one === run).length;
      tail = new SharedTail(this.#transfer(run === this.#heldBack ? { ...run, isHeldBack: true } : run), parts);
      this.#tails.set(run, tail);
    }
    return Promise.resolve(tail.reader(span));
  }

  close(): void {
    this.#body?.abort();
    for (const tail of this.#tails.values()) tail.close();
  }

  #transfer(span: BodySpan): BlobReader {
    const { upstream, digest, repository, client, clock, events } = this.#options;
    const { sizeBytes } = this;
    const source = new Sources({
      upstream,
      digest,
      clock,
      repository,
      party: new Party('normal', client),
      onAccept: (size) => size === undefined || sizeBytes === undefined || size === sizeBytes,
    });
    source.start();
    const options = { source, span, digest, sizeBytes, events };
    if (isPart(span, sizeBytes)) return new TailReader({ ...options, from: span.start, hash: undefined });
    const body = this.#body;
    this.#body = undefined;
    const opened = body === undefined ? {} : { opened: body };
    return new TailReader({ ...options, ...opened, from: 0, hash: hasher(digestAlgorithm(digest)) });
  }
}

async function memoryView(
  view: PassthroughView,
  options: PassthroughOptions,
  sizeBytes: number,
  signal: AbortSignal,
): Promise<BlobView> {
  const { digest, upstream } = options;
  const bytes = Buffer.alloc(sizeBytes);
  const reader = await view.open({ start: 0, end: sizeBytes });
  try {
    for (let position = 0; position < sizeBytes;) {
      const end = await reader.readable(position, signal);
      position += await reader.read(bytes, position, end - position, position);
    }
  } catch (error) {
    if (!(error instanceof BrokenBodyError)) throw error;
    throw new CacheError('mismatch', upstream.key, error.message, { cause: error });
  } finally {
    reader.close();
    view.close();
  }
  if (digestOf(bytes, digestAlgorithm(digest)) !== digest) {
    throw new CacheError('mismatch', upstream.key, `the upstream sent other bytes than ${digest}`);
  }
  return {
    digest,
    sizeBytes,
    outcome: view.outcome,
    isProved: true,
    proved: () => Promise.resolve(),
    open: (span) => Promise.resolve(memoryReader(bytes, span.end ?? sizeBytes)),
    close: () => undefined,
  };
}

function memoryReader(bytes: Buffer, end: number): BlobReader {
  return {
    readable: () => end,
    read: (buffer, offset, length, position) => {
      const part = bytes.subarray(position, Math.min(end, position + length));
      buffer.set(part, offset);
      return Promise.resolve(part.byteLength);
    },
    close: () => undefined,
  };
}
