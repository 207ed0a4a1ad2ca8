/**
 * Brings the absent bytes of one generation: one transfer at the frontier and one for wants. Both draw from the same piece
 * map, so no byte is asked for twice.
 *
 * Until somebody wants bytes ahead, the frontier is one plain GET of everything. From the first want on it moves in pieces,
 * so that it never has to be cut off in the middle of bytes that it has asked for.
 */
import type { RequestRange } from '../oci/range.ts';
import { UpstreamError } from '../upstream/errors.ts';
import type { AskedRange, BlobBody } from '../upstream/upstream.ts';
import type { BodySource } from './continued-body.ts';
import type { Generation } from './generation.ts';
import { move } from './move.ts';
import type { Lease } from './space.ts';
import { type Wants, pieceBytes } from './wants.ts';

/** What one request of the frontier asks for once ranges are wanted. */
const frontierPieceBytes = 2 * pieceBytes;

export interface MoversOptions {
  readonly generation: Generation;
  readonly source: BodySource;
  readonly lease: Lease;
  readonly wants: Wants;
  /** The range that the first client asked for, when the size is still unknown: it is fetched first. */
  readonly opening: RequestRange | undefined;
}

export class Movers {
  readonly #options: MoversOptions;
  /** The transfer of the opening range, which runs beside the frontier. */
  #opening: Promise<void> | undefined;
  /** Why the opening range could not be had. */
  #openingError: UpstreamError | undefined;
  #isRanged: boolean;

  constructor(options: MoversOptions) {
    this.#options = options;
    this.#isRanged = options.opening !== undefined;
  }

  /** Resolves when every byte is written. Rejects with UpstreamError, StoreError, or the signal's reason. */
  async run(signal: AbortSignal): Promise<void> {
    const { opening, generation, source } = this.#options;
    const control = new AbortController();
    const both = AbortSignal.any([signal, control.signal]);
    const isToOpen = generation.sizeBytes === undefined && !source.ignoresRange;
    if (opening !== undefined && isToOpen) await this.#open(opening, both);
    const wants = this.#followWants(both);
    try {
      await this.#followFrontier(both);
    } catch (error) {
      // The opening has just closed the door that the frontier then found closed: why it did says more.
      const isConsequence = error instanceof UpstreamError && error.kind === 'breakerOpen' && !source.hasStarted;
      throw isConsequence ? (this.#openingError ?? error) : error;
    } finally {
      control.abort();
      await Promise.all([wants, this.#opening]);
    }
  }

  /** Asks for the first client's range before anything else: its answer also tells the size. */
  async #open(opening: RequestRange, signal: AbortSignal): Promise<void> {
    const { source } = this.#options;
    const repository = source.repository();
    let body: BlobBody;
    try {
      const request = { repository, digest: source.digest, range: askFor(opening) };
      body = await source.upstream.openBlob(request, signal);
    } catch (error) {
      // A refusal may be about the range; any other failure meets the frontier too, which knows what to do about it.
      if (!(error instanceof UpstreamError)) return;
      this.#openingError = error;
      // 416 says that this range lies beyond the end, and nothing about others.
      if (error.kind === 'rangeRefused' && error.status !== 416) source.ignoresRange = true;
      return;
    }
    const { answer } = body;
    const { pieces } = this.#options.generation;
    if (answer.kind === 'whole') {
      source.ignoresRange = true;
      if (!source.accept(repository, answer.sizeBytes) || !pieces.isFree(0, Infinity)) return body.abort();
      return this.#move(0, Infinity, signal, body);
    }
    // With a partial, some of it may be there; then the wants bring what is not.
    if (!source.accept(repository, answer.totalBytes) || !pieces.isFree(answer.start, answer.end)) return body.abort();
    // The frontier starts while this part is still coming; should it fail, the frontier brings these bytes too.
    this.#opening = this.#move(answer.start, answer.end, signal, body, true).catch(() => undefined);
  }

  async #followFrontier(signal: AbortSignal): Promise<void> {
    const { generation, source } = this.#options;
    const { pieces, watermark } = generation;
    while (!pieces.isComplete) {
      signal.throwIfAborted();
      const { sequence } = watermark;
      const gap = pieces.firstAbsent(0);
      if (gap === undefined) {
        await watermark.changed(sequence, signal);
        continue;
      }
      const isWhole = !this.#isRanged || source.ignoresRange || pieces.sizeBytes === undefined;
      await this.#move(gap.start, isWhole ? gap.end : Math.min(gap.end, gap.start + frontierPieceBytes), signal);
    }
  }

  /** Never rejects: what the wants cannot bring, the frontier brings, or fails for both. */
  async #followWants(signal: AbortSignal): Promise<void> {
    const { generation, source, wants } = this.#options;
    const { pieces, watermark } = generation;
    try {
      while (!source.ignoresRange) {
        const { sequence } = watermark;
        this.#yieldToWants();
        const next = pieces.sizeBytes === undefined ? undefined : wants.next(pieces);
        if (next === undefined) await watermark.changed(sequence, signal);
        else await this.#move(next.start, next.end, signal, undefined, true);
      }
    } catch {
      // Owned here: nothing is lost, because the frontier brings all that is absent.
    }
    if (source.ignoresRange) this.#giveBack();
  }

  /** A transfer that asked for everything ends where somebody wants bytes far ahead of it. */
  #yieldToWants(): void {
    const { generation, wants } = this.#options;
    const { pieces } = generation;
    if (wants.isEmpty || pieces.sizeBytes === undefined) return;
    const frontier = pieces.claimAt(pieces.frontier);
    if (frontier === undefined) return;
    const wanted = wants.firstWithin(frontier.position, frontier.end);
    if (wanted === undefined) return;
    // In pieces already: what is asked arrives soon, and asking again would bring it twice.
    if (!this.#isRanged) pieces.shrink(frontier, wanted);
    this.#isRanged = true;
  }

  /** No range will come ahead of it: the transfer at the frontier, if it still runs, goes on to where it was going. */
  #giveBack(): void {
    const { pieces } = this.#options.generation;
    const frontier = pieces.claimAt(pieces.frontier);
    if (frontier !== undefined) pieces.extend(frontier);
  }

  async #move(start: number, end: number, signal: AbortSignal, opened?: BlobBody, isRangeOnly = false): Promise<void> {
    const { generation, source, lease } = this.#options;
    const claim = generation.pieces.claim(start, end);
    const body = opened === undefined ? {} : { opened };
    await move({ generation, source, lease, claim, isRangeOnly, ...body }, signal);
  }
}

function askFor(range: RequestRange): AskedRange {
  switch (range.kind) {
    case 'closed':
      return { kind: 'closed', start: range.first, end: Math.min(range.last + 1, range.first + pieceBytes) };
    case 'open':
      return { kind: 'closed', start: range.first, end: range.first + pieceBytes };
    case 'suffix':
      return { kind: 'suffix', suffixBytes: Math.min(Math.max(range.length, 1), pieceBytes) };
  }
}
