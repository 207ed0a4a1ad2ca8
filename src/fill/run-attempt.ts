/** From an opened ingest to a proved blob in the store: the transfer, the hash, and what becomes of the file. */
import type { Digest } from '../oci/digest.ts';
import type { RequestRange } from '../headers/range.ts';
import { StoreError } from '../store/contract/blob-store.ts';
import { BrokenBodyError } from './contract/errors.ts';
import type { FillResult } from './contract/events.ts';
import type { FillContext } from './context.ts';
import type { Attempt } from './attempt/attempt.ts';
import { Scheduler } from './schedule/scheduler.ts';
import type { Sources } from './download/sources.ts';
import type { Reservation } from './space/reservation.ts';
import type { Demand } from './attempt/demand.ts';

export interface AttemptRun {
  readonly context: FillContext;
  readonly attempt: Attempt;
  readonly digest: Digest;
  readonly sources: Sources;
  readonly demand: Demand;
  readonly reservation: Reservation;
  readonly firstRange: RequestRange | undefined;
  readonly isAttended: () => boolean;
  /** It follows one that turned out wrong. */
  readonly isCautious: boolean;
  /** Aborts when the fill is stopped. */
  readonly signal: AbortSignal;
  /** Clients may be answered from the attempt now. */
  readonly onReadable: () => void;
}

export type AttemptOutcome =
  | { readonly kind: 'ended'; readonly result: FillResult }
  /** Everything arrived and is something else. The attempt is still open: the caller decides what follows it. */
  | { readonly kind: 'mismatch'; readonly found: Digest };

/** Rejects with whatever ended the transfer; the attempt is broken then and what it had is kept as a partial. */
export async function runAttempt(run: AttemptRun): Promise<AttemptOutcome> {
  const { attempt, digest, signal } = run;
  let found: Digest;
  try {
    await transfer(run);
    if (attempt.state === 'frozen') return { kind: 'ended', result: await outlive(attempt) };
    found = await hashed(attempt, signal);
  } catch (error) {
    await giveUp(run, error);
    throw error;
  }
  return found === digest ? { kind: 'ended', result: await adopt(run) } : { kind: 'mismatch', found };
}

/** Resolves when all bytes are written, or the store takes no more (the attempt is frozen then). */
async function transfer(run: AttemptRun): Promise<void> {
  const { context, attempt, sources, digest, signal, onReadable } = run;
  if (attempt.pieces.isComplete) return;
  try {
    await new Scheduler({ ...run, source: sources, connections: context.connections }).run(signal);
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    context.keeping.failed(error);
    context.logger.warn({ err: error, digest }, 'the store takes no more; passing the rest through');
    attempt.freeze();
    onReadable();
  }
}

async function hashed(attempt: Attempt, signal: AbortSignal): Promise<Digest> {
  for (;;) {
    const { sequence } = attempt.watermark;
    if (attempt.state !== 'open') throw attempt.failure ?? new BrokenBodyError('the attempt was given up');
    const found = attempt.isHashed ? await attempt.hashedDigest() : undefined;
    if (found !== undefined) return found;
    await attempt.watermark.changed(sequence, signal);
  }
}

async function adopt({ context, attempt, digest, onReadable }: AttemptRun): Promise<FillResult> {
  // Readers first: their bytes are right, and durability is not their problem.
  attempt.prove();
  onReadable();
  await attempt.settle();
  try {
    await attempt.ingest.adopt(attempt.sizeBytes ?? 0);
    context.keeping.kept();
    return 'stored';
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    context.keeping.failed(error);
    context.logger.warn({ err: error, digest }, 'a proved blob could not be stored');
    return 'bypassed';
  }
}

/** A frozen attempt has given its readers what it can; nobody new joins it. */
async function outlive(attempt: Attempt): Promise<FillResult> {
  await attempt.settle();
  await attempt.ingest.abort('the store takes no more');
  return 'bypassed';
}

async function giveUp({ context, attempt, digest }: AttemptRun, error: unknown): Promise<void> {
  attempt.break(new BrokenBodyError(`the transfer of ${digest} was given up`, { cause: error }));
  await attempt.settle();
  const { pieces, ingest } = attempt;
  try {
    const isOfUse = pieces.writtenBytes > 0 && !attempt.isContradicted;
    if (isOfUse) await ingest.keep(pieces.written(), pieces.sizeBytes);
    else await ingest.abort('nothing was written, or nothing that can be continued');
  } catch (failure) {
    // The fill has failed already for another reason, which is the one to report.
    context.logger.warn({ err: failure, digest }, 'a partial could not be kept');
  }
}
