/**
 * Decides which absent bytes of one generation are brought next, and over how many connections. All transfers draw from
 * the same piece map, so no byte is asked for twice. Three kinds, in this order:
 *
 * 1. What clients want ahead of the contiguous prefix (`wants`).
 * 2. The *mainstay*: from the first absent byte on, always one. As long as it is alone it is one plain request for
 *    everything; beside others it moves in pieces. Only its failure ends the fill.
 * 3. Look-ahead: the pieces that follow, in order, over connections that nobody else waits for, as many as bring more.
 */
import { Pause } from '../../lib/backoff.ts';
import type { RequestRange } from '../../headers/range.ts';
import { UpstreamError } from '../../upstream/contract/errors.ts';
import type { BlobBody } from '../../upstream/contract/upstream.ts';
import type { BodySource } from '../download/resume.ts';
import type { FillConnections } from './connections.ts';
import type { Generation } from '../attempt/attempt.ts';
import { LookAhead } from './readahead.ts';
import { Mainstay } from './primary.ts';
import { move } from '../download/download.ts';
import { askOpening } from './first-request.ts';
import type { Claim } from '../attempt/pieces.ts';
import type { Allotment } from '../space/reservation.ts';
import { Stride } from './chunk-size.ts';
import type { Wants } from '../attempt/demand.ts';

const pauses = { firstMs: 1000, longestMs: 30_000 };

export interface MoversOptions {
  readonly generation: Generation;
  readonly source: BodySource;
  readonly allotment: Allotment;
  readonly wants: Wants;
  readonly connections: FillConnections;
  /** The range that the first client asked for, when the size is still unknown: it is fetched first. */
  readonly opening: RequestRange | undefined;
  /** Nothing is looked ahead while this is false. */
  readonly isAttended: () => boolean;
  /** One endpoint and as few transfers as possible: what many brought turned out wrong. */
  readonly isCautious: boolean;
}

type Failure = { readonly error: unknown } | undefined;

export class Movers {
  readonly #options: MoversOptions;
  readonly #ahead: LookAhead;
  readonly #wantsPause: Pause;
  /** For what the fill can do without. */
  readonly #sparePause: Pause;
  readonly #running = new Set<Promise<void>>();
  readonly #stride = new Stride();
  #mainstay: Mainstay | undefined;
  #failure: Failure;
  /** Why the opening range could not be had. */
  #openingError: UpstreamError | undefined;
  /** Somebody wants parts: the mainstay moves in pieces, so that it is never cut off in the middle of what it asked for. */
  #isRanged: boolean;
  #wantMoves = 0;

  constructor(options: MoversOptions) {
    const { generation, source, opening } = options;
    this.#options = options;
    this.#isRanged = opening !== undefined;
    const onOver = (): void => generation.touch();
    this.#wantsPause = new Pause({ ...pauses, clock: source.clock, onOver });
    this.#sparePause = new Pause({ ...pauses, clock: source.clock, onOver });
    const limit = options.isCautious ? 1 : options.connections.perFill;
    this.#ahead = new LookAhead({ ...options, pause: this.#sparePause, limit });
  }

  /** Resolves when every byte is written. Rejects with UpstreamError, StoreError, or the signal's reason. */
  async run(signal: AbortSignal): Promise<void> {
    const control = new AbortController();
    const both = AbortSignal.any([signal, control.signal]);
    try {
      await this.#open(both);
      await this.#follow(both);
    } catch (error) {
      // The opening has just closed the door that the plain request then found closed: why it did says more.
      const isConsequence =
        error instanceof UpstreamError && error.kind === 'breakerOpen' && !this.#options.source.hasStarted;
      throw isConsequence ? (this.#openingError ?? error) : error;
    } finally {
      control.abort();
      await Promise.all(this.#running);
      // Now that nothing ends any more that could begin a pause.
      this.#ahead.end();
      this.#wantsPause.end();
      this.#sparePause.end();
    }
  }

  /** Asks for a part before anything else, where there is a reason to. */
  async #open(signal: AbortSignal): Promise<void> {
    const { opening, generation, source } = this.#options;
    const part = opening ?? this.#ahead.opening;
    if (part === undefined || generation.sizeBytes !== undefined || source.ignoresRange) return;
    const answer = await askOpening(source, part, generation.pieces, generation.remote?.thread, signal);
    if (answer.kind === 'nothing') {
      this.#openingError = answer.error;
      return;
    }
    const claim = generation.pieces.claim(answer.start, answer.end);
    if (answer.kind === 'whole') this.#startMainstay(claim, true, signal, answer.body);
    else this.#startWant(claim, signal, answer.body);
  }

  async #follow(signal: AbortSignal): Promise<void> {
    const { pieces, watermark } = this.#options.generation;
    for (;;) {
      const { sequence } = watermark;
      if (this.#failure !== undefined) throw this.#failure.error;
      if (pieces.isComplete) return;
      this.#startAll(signal);
      await watermark.changed(sequence, signal);
    }
  }

  #startAll(signal: AbortSignal): void {
    const { generation, source } = this.#options;
    const mayAskRanges = generation.sizeBytes !== undefined && !source.ignoresRange;
    if (mayAskRanges) {
      this.#yieldToWants();
      this.#startWants(signal);
    }
    if (this.#mainstay === undefined) this.#continue(mayAskRanges, signal);
    if (mayAskRanges) this.#lookAhead(signal);
    this.#ahead.update();
  }

  /** The mainstay, from the first byte that nobody is bringing. */
  #continue(mayAskRanges: boolean, signal: AbortSignal): void {
    const { pieces } = this.#options.generation;
    const gap = pieces.firstAbsent(0);
    if (gap === undefined) return;
    const isWhole = !mayAskRanges || !(this.#isRanged || this.#ahead.isOn);
    const end = this.#ahead.isOn ? this.#ahead.endOf(gap) : gap.start + this.#stride.bytes;
    this.#startMainstay(pieces.claim(gap.start, isWhole ? gap.end : Math.min(gap.end, end)), isWhole, signal);
  }

  #lookAhead(signal: AbortSignal): void {
    const { pieces } = this.#options.generation;
    for (;;) {
      const permit = this.#ahead.enter(this.#running.size);
      if (permit === undefined) return;
      if (this.#mainstay?.isToBeCut === true) this.#mainstay.cut(this.#ahead.cutOf(this.#mainstay.claim));
      const next = this.#ahead.next();
      if (next === undefined) return permit[Symbol.dispose]();
      this.#startAhead(pieces.claim(next.start, next.end), permit, signal);
    }
  }

  #startWants(signal: AbortSignal): void {
    const { generation, wants, connections } = this.#options;
    const { pieces } = generation;
    // One at least, beside the mainstay, whatever the limit is.
    const most = Math.max(1, connections.perFill - 1);
    while (this.#wantMoves < most && !this.#wantsPause.isOn) {
      const next = wants.next(pieces);
      if (next === undefined) return;
      if (this.#wantMoves === 0) this.#startWant(pieces.claim(next.start, next.end), signal);
      else {
        const permit = this.#sparePause.isOn ? undefined : connections.spare.tryAcquire();
        if (permit === undefined) return;
        this.#startWant(pieces.claim(next.start, next.end), signal, undefined, permit);
      }
    }
  }

  #startMainstay(claim: Claim, isWhole: boolean, signal: AbortSignal, opened?: BlobBody): void {
    const { generation, source } = this.#options;
    const start = { position: claim.position, ms: source.clock.monotonic() };
    this.#mainstay = new Mainstay(generation.pieces, claim, isWhole);
    this.#start(claim, { ...(opened && { opened }) }, signal, (failure) => {
      this.#mainstay = undefined;
      if (!isWhole) this.#stride.took(claim.position - start.position, source.clock.monotonic() - start.ms);
      this.#failure = failure;
    });
  }

  #startWant(claim: Claim, signal: AbortSignal, opened?: BlobBody, permit?: Disposable): void {
    this.#wantMoves += 1;
    const isSpare = permit !== undefined;
    this.#start(claim, { isRangeOnly: true, isSpare, ...(opened && { opened }) }, signal, (failure) => {
      this.#wantMoves -= 1;
      permit?.[Symbol.dispose]();
      const pause = isSpare ? this.#sparePause : this.#wantsPause;
      if (failure === undefined) pause.succeeded();
      else pause.failed();
      if (this.#options.source.ignoresRange) this.#mainstay?.giveBack();
    });
  }

  #startAhead(claim: Claim, permit: Disposable, signal: AbortSignal): void {
    this.#options.source.isPieced = true;
    this.#start(claim, { isRangeOnly: true, isSpare: true }, signal, (failure) => {
      permit[Symbol.dispose]();
      if (failure === undefined) return this.#sparePause.succeeded();
      this.#ahead.failed(failure.error, this.#running.size);
      // Alone again: the mainstay has not got there yet.
      if (this.#running.size <= 1) this.#mainstay?.giveBack();
      return undefined;
    });
  }

  /** The move is owned here: `run` waits for it, and `onEnd` hears what became of it. */
  #start(
    claim: Claim,
    how: { readonly isRangeOnly?: boolean; readonly isSpare?: boolean; readonly opened?: BlobBody },
    signal: AbortSignal,
    onEnd: (failure: Failure) => void,
  ): void {
    const { generation, source, allotment } = this.#options;
    const running = move({ generation, source, allotment, claim, ...how }, signal)
      .then(
        () => undefined,
        (error: unknown) => ({ error }),
      )
      .then((failure) => {
        // In one go: what is absent again must not be planned for before it is known why.
        generation.pieces.release(claim);
        this.#running.delete(running);
        onEnd(failure);
        generation.touch();
      });
    this.#running.add(running);
  }

  /**
   * A mainstay that asked for everything ends where somebody wants bytes far ahead of it, and nearer again if somebody
   * does: its connection is lost once, wherever that is. One that moves in pieces has soon brought what it asked for.
   */
  #yieldToWants(): void {
    const { wants } = this.#options;
    if (wants.isEmpty || this.#mainstay === undefined) return;
    const { claim, isWhole } = this.#mainstay;
    const wanted = wants.firstWithin(claim.position, claim.end);
    if (wanted === undefined) return;
    if (isWhole) this.#mainstay.cut(wanted);
    this.#isRanged = true;
  }
}
