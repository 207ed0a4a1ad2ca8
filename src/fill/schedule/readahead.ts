/**
 * Which pieces of a large blob are fetched beside the primary transfer of its fill, and over how many connections: in order, not
 * too far ahead of what readers can use, and only over connections that are free.
 */
import type { Timer } from '../../lib/clock.ts';
import type { Pause } from '../../lib/backoff.ts';
import type { RequestRange } from '../../headers/range.ts';
import { UpstreamError } from '../../upstream/contract/errors.ts';
import type { BodySource } from '../download/resume.ts';
import type { FillConnections } from './connections.ts';
import type { Attempt } from '../attempt/attempt.ts';
import type { Interval } from '../../store/contract/blob-store.ts';
import type { Claim } from '../attempt/pieces.ts';
import { ConnectionCount, minSplitBytes } from './connection-count.ts';
import { pieceBytes } from '../attempt/demand.ts';

/** How far ahead of the contiguous prefix: as far as readers may run ahead of the hash. */
const windowBytes = 256 * 1024 * 1024;
/** A piece costs a round trip or two; so it should be large, and smaller near the end, so that all connections end together. */
const maxPieceBytes = 16 * 1024 * 1024;
/** What is left of a gap behind a piece, if it is less than this, belongs to the piece. */
const leastRestBytes = 1024 * 1024;
/** What a primary transfer brings at least before it is cut: time to hear whether the upstream gives ranges at all. */
const minLeadBytes = 8 * 1024 * 1024;
/** How long the rate is measured before each step. */
const lookMs = 200;
/** Busy for this part of that time, we are what limits the rate. */
const saturation = 0.8;

export interface ReadaheadOptions {
  readonly attempt: Attempt;
  readonly source: BodySource;
  readonly connections: FillConnections;
  readonly isAttended: () => boolean;
  /** On while nothing is asked for that the fill can do without. */
  readonly pause: Pause;
  /** Connections of this fill, the primary transfer's included. */
  readonly limit: number;
}

export class Readahead {
  readonly #options: ReadaheadOptions;
  readonly #connectionCount: ConnectionCount;
  /** The number was not found out here. */
  readonly #isLearnt: boolean;
  readonly #writtenAtStart: number;
  #look:
    | { readonly timer: Timer; readonly atMs: number; readonly busyMs: number; readonly writtenBytes: number }
    | undefined;
  /** As many run as should. */
  #isFull = true;

  constructor(options: ReadaheadOptions) {
    const { attempt, source, connections, limit } = options;
    this.#options = options;
    const learnt = connections.learnt(source.upstream.key);
    this.#isLearnt = learnt !== undefined;
    this.#connectionCount = new ConnectionCount(limit, learnt);
    this.#writtenAtStart = attempt.pieces.writtenBytes;
  }

  /** More than one connection is in use or about to be. */
  get isOn(): boolean {
    const { sizeBytes } = this.#options.attempt;
    const isLarge = sizeBytes !== undefined && sizeBytes - this.#writtenAtStart >= minSplitBytes;
    return isLarge && this.#connectionCount.connections > 1;
  }

  /** What to ask for first, where it is known already that the rest comes over other connections. */
  get firstRange(): RequestRange | undefined {
    return this.#connectionCount.connections > 1 ? { kind: 'closed', first: 0, last: pieceBytes - 1 } : undefined;
  }

  /** Where a piece ends that begins at the start of `gap`. */
  endOf(gap: Interval): number {
    const { attempt, limit } = this.#options;
    const left = Math.min((attempt.sizeBytes ?? 0) - gap.start, windowBytes);
    const end = gap.start + Math.max(pieceBytes, Math.min(maxPieceBytes, Math.ceil(left / (2 * limit))));
    return gap.end - end < leastRestBytes ? gap.end : end;
  }

  /** Where a primary transfer that asked for everything is cut. */
  cutOf({ position, end }: Claim): number {
    return Math.max(position + minLeadBytes, this.endOf({ start: position, end }));
  }

  /**
   * Leave to bring one more piece while `running` others are under way. The connection is the piece's until the permit is
   * disposed.
   */
  enter(running: number): Disposable | undefined {
    const { attempt, connections, isAttended, pause } = this.#options;
    this.#isFull = running >= this.#connectionCount.connections;
    // Before the first byte there is nothing beside which anything could run.
    const isWanted =
      this.isOn && running > 0 && !this.#isFull && !pause.isOn && attempt.pieces.writtenBytes > this.#writtenAtStart;
    return isWanted && isAttended() ? connections.opportunistic.tryAcquire() : undefined;
  }

  /** The next piece, if one is near enough. */
  next(): Interval | undefined {
    const { pieces } = this.#options.attempt;
    const gap = pieces.firstAbsent(0, pieces.frontier + windowBytes);
    return gap === undefined ? undefined : { start: gap.start, end: Math.min(gap.end, this.endOf(gap)) };
  }

  /** A piece could not be brought while `running` others were under way. */
  failed(error: unknown, running: number): void {
    const { source, connections, pause } = this.#options;
    if (source.ignoresRange) return connections.learn(source.upstream.key, 1);
    pause.failed(error instanceof UpstreamError ? error.retryAfterMs : undefined);
    if (!(error instanceof UpstreamError) || (error.status !== 429 && error.status !== 503)) return undefined;
    this.#connectionCount.refused(running);
    return connections.learn(source.upstream.key, this.#connectionCount.connections);
  }

  /** To be called whenever something has changed: measures for a while, and decides. */
  update(): void {
    const { attempt, source, connections, isAttended, pause } = this.#options;
    const { writtenBytes, sizeBytes = 0 } = attempt.pieces;
    const isToMeasure =
      !this.#connectionCount.isSettled &&
      sizeBytes - writtenBytes >= minSplitBytes &&
      isAttended() &&
      !pause.isOn &&
      !source.ignoresRange;
    if (!isToMeasure) return this.#stopLooking();
    // From the first byte on: what an upstream needs before it answers says nothing about its pace.
    if (this.#look !== undefined || writtenBytes === this.#writtenAtStart) return undefined;
    const timer = source.clock.setTimer(lookMs, () => this.#decide());
    this.#look = { timer, atMs: source.clock.monotonic(), busyMs: connections.busyMs(), writtenBytes };
    return undefined;
  }

  end(): void {
    this.#stopLooking();
    this.#learn();
  }

  #decide(): void {
    const { attempt, source, connections } = this.#options;
    const look = this.#look;
    this.#look = undefined;
    if (look === undefined) return;
    const { writtenBytes, sizeBytes = 0 } = attempt.pieces;
    const ms = source.clock.monotonic() - look.atMs;
    const bytesPerSecond = ((writtenBytes - look.writtenBytes) * 1000) / ms;
    const isSaturated = connections.busyMs() - look.busyMs >= saturation * ms;
    if (this.#isFull) this.#connectionCount.look({ bytesPerSecond, leftBytes: sizeBytes - writtenBytes, isSaturated });
    if (this.#connectionCount.isSettled) this.#learn();
    attempt.touch();
  }

  #learn(): void {
    const { source, connections } = this.#options;
    if (!this.#isLearnt && this.#connectionCount.proven > 1)
      connections.learn(source.upstream.key, this.#connectionCount.proven);
  }

  #stopLooking(): void {
    this.#look?.timer.cancel();
    this.#look = undefined;
  }
}
