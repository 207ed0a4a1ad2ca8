/**
 * Decides which absent bytes of one attempt are brought next, and over how many connections. All transfers draw from
 * the same piece map, so no byte is asked for twice. Three kinds, in this order:
 *
 * 1. What clients want ahead of the contiguous prefix (`Demand`).
 * 2. The *primary transfer*: from the first absent byte on, always one. As long as it is alone it is one plain request for
 *    everything; beside others it moves in pieces. Only its failure ends the fill.
 * 3. Look-ahead: the pieces that follow, in order, over connections that nobody else waits for, as many as bring more.
 */
import { Pause } from '../../lib/backoff.ts';
import type { RequestRange } from '../../headers/range.ts';
import { UpstreamError } from '../../upstream/contract/errors.ts';
import type { BlobBody } from '../../upstream/contract/upstream.ts';
import type { BodySource } from '../download/resume.ts';
import type { FillConnections } from './connections.ts';
import type { Attempt } from '../attempt/attempt.ts';
import { Readahead } from './readahead.ts';
import { PrimaryTransfer } from './primary.ts';
import { move } from '../download/download.ts';
import { askFirst } from './first-request.ts';
import type { Claim } from '../attempt/pieces.ts';
import type { Reservation } from '../space/reservation.ts';
import { ChunkSize } from './chunk-size.ts';
import type { Demand } from '../attempt/demand.ts';

const pauses = { firstMs: 1000, longestMs: 30_000 };

export interface SchedulerOptions {
  readonly attempt: Attempt;
  readonly source: BodySource;
  readonly reservation: Reservation;
  readonly demand: Demand;
  readonly connections: FillConnections;
  /** The range that the first client asked for, when the size is still unknown: it is fetched first. */
  readonly firstRange: RequestRange | undefined;
  /** Nothing is looked ahead while this is false. */
  readonly isAttended: () => boolean;
  /** One endpoint and as few transfers as possible: what many brought turned out wrong. */
  readonly isCautious: boolean;
}

type Failure = { readonly error: unknown } | undefined;

export class Scheduler {
  readonly #options: SchedulerOptions;
  readonly #ahead: Readahead;
  readonly #demandPause: Pause;
  /** For what the fill can do without. */
  readonly #opportunisticPause: Pause;
  readonly #running = new Set<Promise<void>>();
  readonly #chunkSize = new ChunkSize();
  #primary: PrimaryTransfer | undefined;
  #failure: Failure;
  /** Why the first range could not be had. */
  #firstError: UpstreamError | undefined;
  /** Somebody wants parts: the primary transfer moves in pieces, so that it is never cut off in the middle of what it asked for. */
  #isRanged: boolean;
  #wantMoves = 0;

  constructor(options: SchedulerOptions) {
    const { attempt, source, firstRange } = options;
    this.#options = options;
    this.#isRanged = firstRange !== undefined;
    const onOver = (): void => attempt.touch();
    this.#demandPause = new Pause({ ...pauses, clock: source.clock, onOver });
    this.#opportunisticPause = new Pause({ ...pauses, clock: source.clock, onOver });
    const limit = options.isCautious ? 1 : options.connections.perFill;
    this.#ahead = new Readahead({ ...options, pause: this.#opportunisticPause, limit });
  }

  /** Resolves when every byte is written. Rejects with UpstreamError, StoreError, or the signal's reason. */
  async run(signal: AbortSignal): Promise<void> {
    const control = new AbortController();
    const both = AbortSignal.any([signal, control.signal]);
    try {
      await this.#open(both);
      await this.#follow(both);
    } catch (error) {
      // The first request has just closed the door that the plain request then found closed: why it did says more.
      const isConsequence =
        error instanceof UpstreamError && error.kind === 'breakerOpen' && !this.#options.source.hasStarted;
      throw isConsequence ? (this.#firstError ?? error) : error;
    } finally {
      control.abort();
      await Promise.all(this.#running);
      // Now that nothing ends any more that could begin a pause.
      this.#ahead.end();
      this.#demandPause.end();
      this.#opportunisticPause.end();
    }
  }

  /** Asks for a part before anything else, where there is a reason to. */
  async #open(signal: AbortSignal): Promise<void> {
    const { firstRange, attempt, source } = this.#options;
    const part = firstRange ?? this.#ahead.firstRange;
    if (part === undefined || attempt.sizeBytes !== undefined || source.ignoresRange) return;
    const answer = await askFirst(source, part, attempt.pieces, attempt.remote?.thread, signal);
    if (answer.kind === 'nothing') {
      this.#firstError = answer.error;
      return;
    }
    const claim = attempt.pieces.claim(answer.start, answer.end);
    if (answer.kind === 'whole') this.#startPrimary(claim, true, signal, answer.body);
    else this.#startDemanded(claim, signal, answer.body);
  }

  async #follow(signal: AbortSignal): Promise<void> {
    const { pieces, watermark } = this.#options.attempt;
    for (;;) {
      const { sequence } = watermark;
      if (this.#failure !== undefined) throw this.#failure.error;
      if (pieces.isComplete) return;
      this.#startAll(signal);
      await watermark.changed(sequence, signal);
    }
  }

  #startAll(signal: AbortSignal): void {
    const { attempt, source } = this.#options;
    const mayAskRanges = attempt.sizeBytes !== undefined && !source.ignoresRange;
    if (mayAskRanges) {
      this.#yieldToDemand();
      this.#startAllDemanded(signal);
    }
    if (this.#primary === undefined) this.#continue(mayAskRanges, signal);
    if (mayAskRanges) this.#readahead(signal);
    this.#ahead.update();
  }

  /** The primary transfer, from the first byte that nobody is bringing. */
  #continue(mayAskRanges: boolean, signal: AbortSignal): void {
    const { pieces } = this.#options.attempt;
    const gap = pieces.firstAbsent(0);
    if (gap === undefined) return;
    const isWhole = !mayAskRanges || !(this.#isRanged || this.#ahead.isOn);
    const end = this.#ahead.isOn ? this.#ahead.endOf(gap) : gap.start + this.#chunkSize.bytes;
    this.#startPrimary(pieces.claim(gap.start, isWhole ? gap.end : Math.min(gap.end, end)), isWhole, signal);
  }

  #readahead(signal: AbortSignal): void {
    const { pieces } = this.#options.attempt;
    for (;;) {
      const permit = this.#ahead.enter(this.#running.size);
      if (permit === undefined) return;
      if (this.#primary?.isToBeCut === true) this.#primary.cut(this.#ahead.cutOf(this.#primary.claim));
      const next = this.#ahead.next();
      if (next === undefined) return permit[Symbol.dispose]();
      this.#startAhead(pieces.claim(next.start, next.end), permit, signal);
    }
  }

  #startAllDemanded(signal: AbortSignal): void {
    const { attempt, demand, connections } = this.#options;
    const { pieces } = attempt;
    // One at least, beside the primary transfer, whatever the limit is.
    const most = Math.max(1, connections.perFill - 1);
    while (this.#wantMoves < most && !this.#demandPause.isOn) {
      const next = demand.next(pieces);
      if (next === undefined) return;
      if (this.#wantMoves === 0) this.#startDemanded(pieces.claim(next.start, next.end), signal);
      else {
        const permit = this.#opportunisticPause.isOn ? undefined : connections.opportunistic.tryAcquire();
        if (permit === undefined) return;
        this.#startDemanded(pieces.claim(next.start, next.end), signal, undefined, permit);
      }
    }
  }

  #startPrimary(claim: Claim, isWhole: boolean, signal: AbortSignal, opened?: BlobBody): void {
    const { attempt, source } = this.#options;
    const start = { position: claim.position, ms: source.clock.monotonic() };
    this.#primary = new PrimaryTransfer(attempt.pieces, claim, isWhole);
    this.#start(claim, { ...(opened && { opened }) }, signal, (failure) => {
      this.#primary = undefined;
      if (!isWhole) this.#chunkSize.took(claim.position - start.position, source.clock.monotonic() - start.ms);
      this.#failure = failure;
    });
  }

  #startDemanded(claim: Claim, signal: AbortSignal, opened?: BlobBody, permit?: Disposable): void {
    this.#wantMoves += 1;
    const isOpportunistic = permit !== undefined;
    this.#start(claim, { isRangeOnly: true, isOpportunistic, ...(opened && { opened }) }, signal, (failure) => {
      this.#wantMoves -= 1;
      permit?.[Symbol.dispose]();
      const pause = isOpportunistic ? this.#opportunisticPause : this.#demandPause;
      if (failure === undefined) pause.succeeded();
      else pause.failed();
      if (this.#options.source.ignoresRange) this.#primary?.giveBack();
    });
  }

  #startAhead(claim: Claim, permit: Disposable, signal: AbortSignal): void {
    this.#options.source.isPieced = true;
    this.#start(claim, { isRangeOnly: true, isOpportunistic: true }, signal, (failure) => {
      permit[Symbol.dispose]();
      if (failure === undefined) return this.#opportunisticPause.succeeded();
      this.#ahead.failed(failure.error, this.#running.size);
      // Alone again: the primary transfer has not got there yet.
      if (this.#running.size <= 1) this.#primary?.giveBack();
      return undefined;
    });
  }

  /** The move is owned here: `run` waits for it, and `onEnd` hears what became of it. */
  #start(
    claim: Claim,
    how: { readonly isRangeOnly?: boolean; readonly isOpportunistic?: boolean; readonly opened?: BlobBody },
    signal: AbortSignal,
    onEnd: (failure: Failure) => void,
  ): void {
    const { attempt, source, reservation } = this.#options;
    const running = move({ attempt, source, reservation, claim, ...how }, signal)
      .then(
        () => undefined,
        (error: unknown) => ({ error }),
      )
      .then((failure) => {
        // In one go: what is absent again must not be planned for before it is known why.
        attempt.pieces.release(claim);
        this.#running.delete(running);
        onEnd(failure);
        attempt.touch();
      });
    this.#running.add(running);
  }

  /**
   * A primary transfer that asked for everything ends where somebody wants bytes far ahead of it, and nearer again if somebody
   * does: its connection is lost once, wherever that is. One that moves in pieces has soon brought what it asked for.
   */
  #yieldToDemand(): void {
    const { demand } = this.#options;
    if (demand.isEmpty || this.#primary === undefined) return;
    const { claim, isWhole } = this.#primary;
    const wanted = demand.firstWithin(claim.position, claim.end);
    if (wanted === undefined) return;
    if (isWhole) this.#primary.cut(wanted);
    this.#isRanged = true;
  }
}
