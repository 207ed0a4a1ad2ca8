/**
 * The one transfer that a fill cannot do without. When it asked for everything and others then bring what lies ahead of it,
 * its claim ends where theirs begin; when they cannot, it goes on to where it was going.
 */
import type { Claim, PieceMap } from '../attempt/pieces.ts';

export class PrimaryTransfer {
  readonly claim: Claim;
  /** It asked for everything from where it began. */
  readonly isWhole: boolean;
  readonly #pieces: PieceMap;
  /** Infinity while the size of the blob was unknown. */
  readonly #askedEnd: number;
  #isCut = false;

  constructor(pieces: PieceMap, claim: Claim, isWhole: boolean) {
    this.#pieces = pieces;
    this.#askedEnd = claim.end;
    this.claim = claim;
    this.isWhole = isWhole;
  }

  /** Nobody else can bring what it has asked for: it has to be cut first. */
  get isToBeCut(): boolean {
    return this.isWhole && !this.#isCut;
  }

  cut(end: number): void {
    this.#pieces.shrink(this.claim, end);
    this.#isCut = true;
  }

  /** What others were to bring behind its end they do not, as far as it is absent again. */
  giveBack(): void {
    if (!this.#isCut) return;
    this.#pieces.extend(this.claim);
    this.#isCut = this.claim.end < Math.min(this.#askedEnd, this.#pieces.sizeBytes ?? Infinity);
  }
}
