/**
 * Which bytes of an ingest are written, which are being asked for, and which nobody has asked for yet.
 *
 * A piece is any interval; it is *absent*, *asked* (one claim owns it) or *written*. Two claims never overlap, and a
 * written byte is never asked for again: that is what "one transfer per digest" and "one writer per piece" rest on.
 */
import { IntervalSet } from '../../lib/interval-set.ts';
import type { Interval } from '../../store/contract/blob-store.ts';

/** An interval that one transfer is bringing. `[position, end)` is still asked; what lay before `position` is written. */
export interface Claim {
  readonly position: number;
  /** Infinity while the size of the blob is unknown. */
  readonly end: number;
}

interface OwnedClaim {
  position: number;
  /** Bytes before this are on their way to the file: the claim cannot shrink below it. */
  committed: number;
  end: number;
}

export class PieceMap {
  readonly #written: IntervalSet;
  readonly #claims = new Set<OwnedClaim>();
  #sizeBytes: number | undefined;

  constructor(written: readonly Interval[] = [], sizeBytes?: number) {
    this.#written = IntervalSet.fromEntries(written);
    this.#sizeBytes = sizeBytes;
  }

  get sizeBytes(): number | undefined {
    return this.#sizeBytes;
  }

  /** Says how large the blob is. Open claims are clipped to it. */
  setSize(sizeBytes: number): void {
    this.#sizeBytes = sizeBytes;
    for (const claim of this.#claims) claim.end = Math.min(claim.end, sizeBytes);
  }

  /** End of the contiguous written prefix. */
  get frontier(): number {
    return this.#written.runEnd(0);
  }

  /** Every byte of the blob is written. False while the size is unknown. */
  get isComplete(): boolean {
    return this.#sizeBytes !== undefined && this.frontier >= this.#sizeBytes;
  }

  get writtenBytes(): number {
    return this.#written.total;
  }

  /** End of the last byte that is written or on its way to the file. */
  get reach(): number {
    let reach = this.#written.entries().at(-1)?.end ?? 0;
    for (const claim of this.#claims) reach = Math.max(reach, claim.committed);
    return reach;
  }

  /** End of the written run that contains `position`, or `position` itself when that byte is not written. */
  readableEnd(position: number): number {
    return this.#written.runEnd(position);
  }

  written(): readonly Interval[] {
    return this.#written.entries();
  }

  /** The first stretch inside `[from, to)` that is neither written nor asked; `to` is clipped to the size. */
  firstAbsent(from: number, to = Infinity): Interval | undefined {
    const limit = Math.min(to, this.#sizeBytes ?? Infinity);
    let position = from;
    while (position < limit) {
      const gap = this.#written.firstGap(position, limit);
      if (gap === undefined) return undefined;
      const owner = this.#claimAt(gap.start);
      if (owner === undefined) return { start: gap.start, end: Math.min(gap.end, this.#nextClaimAfter(gap.start)) };
      position = owner.end;
    }
    return undefined;
  }

  /** Nobody has written or asked for any byte of `[start, end)`; `end` is clipped to the size. */
  isFree(start: number, end: number): boolean {
    const gap = this.firstAbsent(start, end);
    return gap?.start === start && gap.end >= Math.min(end, this.#sizeBytes ?? Infinity);
  }

  /** Takes an absent interval. Throws when any byte of it is written or asked: that would be a second writer. */
  claim(start: number, end: number): Claim {
    if (!this.isFree(start, end)) throw new Error(`bytes ${start}-${end} are not free to be asked for`);
    const claim: OwnedClaim = { position: start, committed: start, end: Math.min(end, this.#sizeBytes ?? Infinity) };
    this.#claims.add(claim);
    return claim;
  }

  /** The next `bytes` of the claim are on their way to the file. Returns how many of them it wants; the rest belongs to nobody. */
  commit(claim: Claim, bytes: number): number {
    const owned = this.#owned(claim);
    const accepted = Math.min(bytes, owned.end - owned.committed);
    owned.committed += accepted;
    return accepted;
  }

  /** What was committed and is not written will not be, by whoever committed it. */
  uncommit(claim: Claim): void {
    const owned = this.#owned(claim);
    owned.committed = owned.position;
  }

  /** Everything that the claim asked for is committed. */
  isCommitted(claim: Claim): boolean {
    const owned = this.#owned(claim);
    return owned.committed >= owned.end;
  }

  /** Marks `[claim.position, to)` written. */
  advance(claim: Claim, to: number): void {
    const owned = this.#owned(claim);
    if (to <= owned.position) return;
    if (to > owned.end) throw new Error(`a write up to ${to} leaves its claim, which ends at ${owned.end}`);
    this.#written.add(owned.position, to);
    owned.position = to;
  }

  /** Gives the tail of a claim back, so that somebody else may ask for it. */
  shrink(claim: Claim, end: number): void {
    const owned = this.#owned(claim);
    owned.end = Math.min(owned.end, Math.max(end, owned.committed));
  }

  /** Adds to a claim what is absent behind it. */
  extend(claim: Claim): void {
    const owned = this.#owned(claim);
    const behind = this.firstAbsent(owned.end);
    if (behind?.start === owned.end) owned.end = behind.end;
  }

  /** Ends a claim; what it did not write is absent again. Idempotent. */
  release(claim: Claim): void {
    this.#claims.delete(claim as OwnedClaim);
  }

  /** The claim that is bringing the byte at `position`, if any. */
  claimAt(position: number): Claim | undefined {
    return this.#claimAt(position);
  }

  #claimAt(position: number): OwnedClaim | undefined {
    for (const claim of this.#claims) if (claim.position <= position && position < claim.end) return claim;
    return undefined;
  }

  #nextClaimAfter(position: number): number {
    let next = Infinity;
    for (const claim of this.#claims) {
      if (claim.position > position && claim.position < claim.end) next = Math.min(next, claim.position);
    }
    return next;
  }

  #owned(claim: Claim): OwnedClaim {
    const owned = claim as OwnedClaim;
    if (!this.#claims.has(owned)) throw new Error('the claim was released');
    return owned;
  }
}
