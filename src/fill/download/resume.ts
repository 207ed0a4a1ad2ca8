/**
 * One range of a blob from an upstream, continued across cuts: the caller sees its bytes in order, once each, however
 * often the connection breaks. Whether those bytes are right is for the hash to say.
 */
import type { Clock } from '../../lib/clock.ts';
import type { Party } from '../../lib/sharing/party.ts';
import type { Digest } from '../../oci/digest.ts';
import type { Repository } from '../../oci/reference.ts';
import { UpstreamError } from '../../upstream/contract/errors.ts';
import type { ExchangeWorker, WorkerBody } from '../../upstream/contract/worker-protocol.ts';
import type { TransferSlot } from '../../upstream/contract/transfer-slot.ts';
import type { AskedRange, BlobBody, Upstream } from '../../upstream/contract/upstream.ts';

/** Attempts in a row that may add no byte. */
const maxIdleAttempts = 5;
/** Waits before attempts that follow one without progress, in milliseconds. */
const idleDelaysMs = [100, 500, 1500, 4000] as const;
const maxHeldWaitMs = 10_000;
/** In all, for as long as no byte comes. */
const maxIdleMs = 60_000;

/** What all transfers of one fill share: where to ask, and what has been learnt about it. */
export interface BodySource {
  readonly upstream: Upstream;
  readonly digest: Digest;
  readonly clock: Clock;
  /** On whose behalf its transfers wait for connections. */
  readonly party: Party;
  /** Endpoints that contradicted themselves or broke without giving a byte. */
  readonly avoidEndpoints: Set<string>;
  /** Endpoints that contributed bytes. */
  readonly usedEndpoints: Set<string>;
  /** Set once bytes came over several connections at once, so that more than one answer was put together. */
  isPieced: boolean;
  /** Set once the upstream has shown that it ignores or refuses ranges of this blob. */
  ignoresRange: boolean;
  /** A transfer can be broken off and continued. */
  readonly isResumable: boolean;
  /** Some answer was accepted before, so a failure now is an interruption and not the answer. */
  readonly hasStarted: boolean;
  /** Leave to open a body that was waited for beforehand, once. */
  takeSlot(): TransferSlot | undefined;
  /** The repository to ask through. */
  repository(): Repository;
  /** The upstream says that this repository does not have it or may not be read; true when another one can be asked. */
  sourceFailed(repository: Repository, error: UpstreamError): boolean;
  /** The last repository was refused, to somebody who cannot go on without it. */
  exhausted(): void;
  /** A good head came; `sizeBytes` is what it says about the whole blob. False when that contradicts what is known. */
  accept(repository: Repository, sizeBytes: number | undefined, shown?: string): boolean;
  /** A broken transfer is being continued. */
  resumed(): void;
}

export interface BodyRange {
  readonly start: number;
  /** Exclusive; undefined while the size is unknown. Asked again before each attempt, because it may shrink. */
  end(): number | undefined;
  /** A body that was opened already and begins at `start`. */
  readonly opened?: BlobBody;
  /** Somebody else brings these bytes too in the end: without ranges they are not worth a transfer of everything before. */
  readonly isRangeOnly?: boolean;
  /** The thread that should carry its exchanges, as long as there is one. */
  readonly worker?: () => ExchangeWorker | undefined;
  /** Takes a body that lies on that line and brings it where it belongs, without its first `skipBytes`. Never rejects. */
  readonly move?: (body: WorkerBody, skipBytes: number) => Promise<Moved>;
  /** Other transfers of this blob go on without it: it takes no connection that somebody waits for, and does not insist. */
  readonly isOpportunistic?: boolean;
}

/** What became of a body that was moved. */
export interface Moved {
  readonly bytes: number;
  /** `granted`: it was not wanted any further · `ended`: the body came to a clean end. */
  readonly why: 'granted' | 'ended' | { readonly error: Error };
}

/**
 * Yields the bytes of `bodyRange` in order. Ends when the range is complete; with an unknown end, when the upstream ended
 * its body cleanly. Leaving the loop early destroys the connection. Rejects with UpstreamError.
 */
export async function* resumedBody(
  source: BodySource,
  bodyRange: BodyRange,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void, void> {
  let position = bodyRange.start;
  let idleAttempts = 0;
  let idleMs = 0;
  let opened = bodyRange.opened;
  for (;;) {
    const before = position;
    let body: BlobBody | undefined;
    // Remembered, because another transfer of this blob may meanwhile have found that it is none any more.
    const repository = source.repository();
    const needsRange = bodyRange.isRangeOnly === true && position > 0;
    try {
      if (needsRange && opened === undefined && source.ignoresRange) throw ignored(source);
      body = opened ?? (await openAt(source, repository, position, bodyRange, signal));
      opened = undefined;
      source.usedEndpoints.add(body.endpoint);
      let skip = body.answer.kind === 'whole' ? position : 0;
      if (body.toWorker !== undefined && bodyRange.move !== undefined) {
        const { bytes, why } = await bodyRange.move(body.toWorker(), skip);
        position += bytes;
        if (typeof why === 'object') throw why.error;
        // Somebody else was to bring the rest, and now is not.
        if (why === 'granted' && position < (bodyRange.end() ?? Infinity)) continue;
      } else
        for await (const chunk of body.chunks) {
          if (skip >= chunk.byteLength) {
            skip -= chunk.byteLength;
            continue;
          }
          const bytes = skip === 0 ? chunk : chunk.subarray(skip);
          skip = 0;
          position += bytes.byteLength;
          yield bytes;
        }
      const end = bodyRange.end() ?? (body.answer.kind === 'whole' ? position : undefined);
      if (end !== undefined && position >= end) return;
      throw new UpstreamError('cut', `the body ended at byte ${position}`, { upstream: source.upstream.key });
    } catch (error) {
      if (!(error instanceof UpstreamError) || error.kind === 'aborted' || signal.aborted) throw error;
      // Everything came before it broke; whether it is right is for the hash to say.
      if (position >= (bodyRange.end() ?? Infinity)) return;
      if (position > before) idleAttempts = idleMs = 0;
      // Nothing went wrong: back to the queue.
      if (error.kind === 'preempted') continue;
      if (isAboutRange(error, source) && !needsRange) continue;
      if (needsRange && source.ignoresRange) throw error;
      if (error.kind === 'notFound' || error.kind === 'denied') {
        if (source.sourceFailed(repository, error)) continue;
        if (bodyRange.isRangeOnly !== true) source.exhausted();
        throw error;
      }
      if (position === before) {
        if (body !== undefined) source.avoidEndpoints.add(body.endpoint);
        // What weir itself lacks may be there again soon.
        const isFirst = !source.hasStarted && error.kind !== 'exhausted';
        const isHopeless = isFirst || error.kind === 'offline' || bodyRange.isOpportunistic === true;
        const waitMs = delayMs(error, idleAttempts);
        idleMs += waitMs;
        if (isHopeless || idleMs > maxIdleMs) throw error;
        if (usesUpAttempt(error) && ++idleAttempts >= maxIdleAttempts) throw error;
        await source.clock.sleep(waitMs, signal);
      }
      source.resumed();
    }
  }
}

/** Opens the body that continues at `position`: a plain GET from 0, else a closed range, else a GET whose start is dropped. */
async function openAt(
  source: BodySource,
  repository: Repository,
  position: number,
  bodyRange: BodyRange,
  signal: AbortSignal,
): Promise<BlobBody> {
  const range = rangeFor(source, position, bodyRange.end());
  const body = await source.upstream.openBlob(
    {
      repository,
      digest: source.digest,
      party: source.party,
      isContinued: source.hasStarted,
      mayBeTaken: () => source.isResumable,
      ...(bodyRange.isOpportunistic !== true && { slot: source.takeSlot() }),
      avoidEndpoints: source.avoidEndpoints,
      worker: bodyRange.worker?.(),
      isOpportunistic: bodyRange.isOpportunistic ?? false,
      ...(range === undefined ? {} : { range }),
    },
    signal,
  );
  const { answer } = body;
  if (!source.accept(repository, answer.kind === 'whole' ? answer.sizeBytes : answer.totalBytes, body.shown)) {
    body.abort();
    source.avoidEndpoints.add(body.endpoint);
    throw new UpstreamError('badResponse', 'the upstream contradicts itself about the size of the blob', {
      upstream: source.upstream.key,
    });
  }
  if (range === undefined || answer.kind === 'part') return body;
  if (position > 0) {
    // A 200 in place of a part: nobody wants the bytes before `position`. The next attempt asks without Range.
    body.abort();
    throw ignored(source);
  }
  source.ignoresRange = true;
  return body;
}

function ignored(source: BodySource): UpstreamError {
  return new UpstreamError('rangeRefused', 'the upstream ignores Range', { upstream: source.upstream.key });
}

function rangeFor(source: BodySource, position: number, end: number | undefined): AskedRange | undefined {
  // From 0 with nothing known, the plain request is the one that every upstream understands.
  if (source.ignoresRange || end === undefined) return undefined;
  return { kind: 'closed', start: position, end };
}

/** Odd answers to Range say nothing about the blob; the first one switches this fill to plain requests. */
function isAboutRange(error: UpstreamError, source: BodySource): boolean {
  if (error.kind !== 'rangeRefused' || source.ignoresRange) return false;
  source.ignoresRange = true;
  return true;
}

/** A failure that is remembered says when the question is asked again; until then it uses up no attempt. */
function usesUpAttempt({ kind, retryAfterMs }: UpstreamError): boolean {
  return retryAfterMs === undefined || kind === 'breakerOpen' || kind === 'rateLimited';
}

function delayMs(error: UpstreamError, idleAttempts: number): number {
  const waitMs = Math.max(idleDelaysMs[idleAttempts] ?? 0, error.retryAfterMs ?? 0);
  return usesUpAttempt(error) ? Math.min(waitMs, maxHeldWaitMs) : waitMs;
}
