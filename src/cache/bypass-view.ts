/** A blob that the store cannot take: streamed through to one client, hashed, and kept nowhere. */
import type { Clock } from '../lib/clock.ts';
import { Party } from '../lib/party.ts';
import { type Digest, digestAlgorithm, digestOf, hasher } from '../oci/digest.ts';
import type { Repository } from '../oci/reference.ts';
import type { BlobBody, Upstream } from '../upstream/upstream.ts';
import type { BlobReader, BlobView, BodySpan } from './answers.ts';
import { BrokenBodyError, CacheError } from './errors.ts';
import { isShortRange } from './fill-reader.ts';
import type { Outcome } from './outcome.ts';
import { Sources } from './sources.ts';
import { TailReader } from './tail-reader.ts';

/** Bodies up to this are proved in memory before a head is written. */
export const proveFirstBytes = 64 * 1024;

export interface BypassOptions {
  readonly upstream: Upstream;
  readonly digest: Digest;
  readonly repository: Repository;
  readonly client: string;
  readonly clock: Clock;
  /** The client asked for a range, so a body from byte 0 would probably be wasted. */
  readonly isRanged: boolean;
}

/** Asks the upstream; resolves once the size, or that there is none, is known. Rejects with UpstreamError or CacheError. */
export async function openBypass(options: BypassOptions, signal: AbortSignal): Promise<BlobView> {
  const { upstream, digest, repository, client, isRanged } = options;
  const body = isRanged
    ? undefined
    : await upstream.openBlob({ repository, digest, party: new Party('normal', client) }, signal);
  const sizeBytes =
    body === undefined
      ? (await upstream.statBlob(repository, digest, signal)).sizeBytes
      : body.answer.kind === 'whole'
        ? body.answer.sizeBytes
        : body.answer.totalBytes;
  const view = new BypassView(options, sizeBytes, body);
  if (sizeBytes === undefined || sizeBytes > proveFirstBytes) return view;
  return memoryView(view, options, sizeBytes, signal);
}

class BypassView implements BlobView {
  readonly digest: Digest;
  readonly sizeBytes: number | undefined;
  readonly outcome: Outcome = { kind: 'bypass' };
  readonly isProved = false;
  readonly #options: BypassOptions;
  #body: BlobBody | undefined;

  constructor(options: BypassOptions, sizeBytes: number | undefined, body: BlobBody | undefined) {
    this.#options = options;
    this.digest = options.digest;
    this.sizeBytes = sizeBytes;
    this.#body = body;
  }

  proved(): Promise<void> {
    return Promise.reject(new BrokenBodyError('a blob that is only passed through cannot be proved beforehand'));
  }

  open(span: BodySpan): Promise<BlobReader> {
    const { upstream, digest, repository, client, clock } = this.#options;
    const { sizeBytes } = this;
    const source = new Sources({
      upstream,
      digest,
      clock,
      repository,
      party: new Party('normal', client),
      onAccept: (_, size) => size === undefined || sizeBytes === undefined || size === sizeBytes,
    });
    source.start();
    const options = { source, span, digest, sizeBytes };
    if (isShortRange(span, sizeBytes)) {
      return Promise.resolve(new TailReader({ ...options, from: span.start, hash: undefined }));
    }
    const body = this.#body;
    this.#body = undefined;
    const opened = body === undefined ? {} : { opened: body };
    return Promise.resolve(new TailReader({ ...options, ...opened, from: 0, hash: hasher(digestAlgorithm(digest)) }));
  }

  close(): void {
    this.#body?.abort();
  }
}

async function memoryView(
  view: BypassView,
  options: BypassOptions,
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
