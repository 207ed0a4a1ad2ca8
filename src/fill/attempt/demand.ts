/**
 * Who needs which bytes before the contiguous prefix gets there. A want is never more than a window ahead of its client:
 * an open-ended range wants the next pieces, not the tail.
 */
import type { Interval } from '../../store/contract/blob-store.ts';
import type { PieceMap } from './pieces.ts';

/** Most that one request for wanted bytes asks for. */
export const pieceBytes = 4 * 1024 * 1024;
/** A request upstream is not worth less than this, so tiny ranges bring their neighbourhood along. */
const minAskBytes = 256 * 1024;
/** How far ahead of its client a follower wants. */
const windowBytes = 2 * pieceBytes;
/** Bytes this close behind the prefix will come by themselves at once. */
const nearBytes = 64 * 1024;

/** A client that reads `[position, end)`; `position` moves as it reads. */
export interface Follower {
  readonly position: number;
  readonly end: number;
}

export class Demand {
  /** In the order in which they were last served. */
  readonly #followers = new Set<Follower>();

  get isEmpty(): boolean {
    return this.#followers.size === 0;
  }

  add(follower: Follower): void {
    this.#followers.add(follower);
  }

  /** Idempotent. */
  remove(follower: Follower): void {
    this.#followers.delete(follower);
  }

  /**
   * The next interval to ask for: absent, not about to come by itself, and for somebody who has nothing to read if there is
   * such a one. Followers are served in turn.
   */
  next(pieces: PieceMap): Interval | undefined {
    let ahead: { follower: Follower; gap: Interval } | undefined;
    for (const follower of this.#followers) {
      const gap = this.#gapOf(follower, pieces);
      if (gap === undefined) continue;
      if (gap.start === follower.position) return this.#serve(follower, gap, pieces);
      ahead ??= { follower, gap };
    }
    return ahead === undefined ? undefined : this.#serve(ahead.follower, ahead.gap, pieces);
  }

  /** The first byte in `[from, to)` that a follower is waiting for, so that a longer transfer can leave it to the demand. */
  firstWithin(from: number, to: number): number | undefined {
    let first: number | undefined;
    for (const { position, end } of this.#followers) {
      if (position >= from + nearBytes && position < Math.min(to, end)) first = Math.min(first ?? Infinity, position);
    }
    return first;
  }

  #gapOf(follower: Follower, pieces: PieceMap): Interval | undefined {
    const gap = pieces.firstAbsent(follower.position, Math.min(follower.end, follower.position + windowBytes));
    if (gap === undefined) return undefined;
    const { frontier } = pieces;
    // What continues the prefix is brought by the transfer at the frontier.
    return gap.start <= frontier || (gap.start < frontier + nearBytes && pieces.claimAt(frontier) !== undefined)
      ? undefined
      : gap;
  }

  #serve(follower: Follower, gap: Interval, pieces: PieceMap): Interval {
    this.#followers.delete(follower);
    this.#followers.add(follower);
    const wanted = Math.min(Math.max(gap.end, gap.start + minAskBytes), gap.start + pieceBytes);
    return pieces.firstAbsent(gap.start, wanted) ?? gap;
  }
}
