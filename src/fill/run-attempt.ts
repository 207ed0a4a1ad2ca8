/** From an opened spool to a proved blob in the store: the transfer, the hash, and what becomes of the file. */
import type { Digest } from '../oci/digest.ts';
import type { RequestRange } from '../headers/range.ts';
import { StoreError } from '../store/contract/blob-store.ts';
import { BrokenBodyError } from './contract/errors.ts';
import type { FillResult } from './contract/events.ts';
import type { FillContext } from './context.ts';
import type { Generation } from './attempt/attempt.ts';
import { Movers } from './schedule/scheduler.ts';
import type { Sources } from './download/sources.ts';
import type { Allotment } from './space/reservation.ts';
import type { Wants } from './attempt/demand.ts';

export interface GenerationRun {
  readonly context: FillContext;
  readonly generation: Generation;
  readonly digest: Digest;
  readonly sources: Sources;
  readonly wants: Wants;
  readonly allotment: Allotment;
  readonly opening: RequestRange | undefined;
  readonly isAttended: () => boolean;
  /** It follows one that turned out wrong. */
  readonly isCautious: boolean;
  /** Aborts when the fill is stopped. */
  readonly signal: AbortSignal;
  /** Clients may be answered from the generation now. */
  readonly onReadable: () => void;
}

export type GenerationOutcome =
  | { readonly kind: 'ended'; readonly result: FillResult }
  /** Everything arrived and is something else. The generation is still open: the caller decides what follows it. */
  | { readonly kind: 'mismatch'; readonly found: Digest };

/** Rejects with whatever ended the transfer; the generation is broken then and what it had is kept as a partial. */
export async function bringGeneration(run: GenerationRun): Promise<GenerationOutcome> {
  const { generation, digest, signal } = run;
  let found: Digest;
  try {
    await transfer(run);
    if (generation.state === 'frozen') return { kind: 'ended', result: await outlive(generation) };
    found = await hashed(generation, signal);
  } catch (error) {
    await giveUp(run, error);
    throw error;
  }
  return found === digest ? { kind: 'ended', result: await adopt(run) } : { kind: 'mismatch', found };
}

/** Resolves when all bytes are written, or the store takes no more (the generation is frozen then). */
async function transfer(run: GenerationRun): Promise<void> {
  const { context, generation, sources, digest, signal, onReadable } = run;
  if (generation.pieces.isComplete) return;
  try {
    await new Movers({ ...run, source: sources, connections: context.connections }).run(signal);
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    context.keeping.failed(error);
    context.logger.warn({ err: error, digest }, 'the store takes no more; passing the rest through');
    generation.freeze();
    onReadable();
  }
}

async function hashed(generation: Generation, signal: AbortSignal): Promise<Digest> {
  for (;;) {
    const { sequence } = generation.watermark;
    if (generation.state !== 'open') throw generation.failure ?? new BrokenBodyError('the generation was given up');
    const found = generation.isHashed ? await generation.hashedDigest() : undefined;
    if (found !== undefined) return found;
    await generation.watermark.changed(sequence, signal);
  }
}

async function adopt({ context, generation, digest, onReadable }: GenerationRun): Promise<FillResult> {
  // Readers first: their bytes are right, and durability is not their problem.
  generation.prove();
  onReadable();
  await generation.settle();
  try {
    await generation.ingest.adopt(generation.sizeBytes ?? 0);
    context.keeping.kept();
    return 'stored';
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    context.keeping.failed(error);
    context.logger.warn({ err: error, digest }, 'a proved blob could not be stored');
    return 'bypassed';
  }
}

/** A frozen generation has given its readers what it can; nobody new joins it. */
async function outlive(generation: Generation): Promise<FillResult> {
  await generation.settle();
  await generation.ingest.abort('the store takes no more');
  return 'bypassed';
}

async function giveUp({ context, generation, digest }: GenerationRun, error: unknown): Promise<void> {
  generation.break(new BrokenBodyError(`the transfer of ${digest} was given up`, { cause: error }));
  await generation.settle();
  const { pieces, ingest } = generation;
  try {
    const isOfUse = pieces.writtenBytes > 0 && !generation.isContradicted;
    if (isOfUse) await ingest.keep(pieces.written(), pieces.sizeBytes);
    else await ingest.abort('nothing was written, or nothing that can be continued');
  } catch (failure) {
    // The fill has failed already for another reason, which is the one to report.
    context.logger.warn({ err: failure, digest }, 'a partial could not be kept');
  }
}
