/** One fill's part of the space. */

/** Most that is reserved ahead of what is written (an upstream may claim any size). */
const aheadBytes = 32 * 1024 * 1024;

/** What a reservation needs of `Space`. */
export interface Grants {
  grant(reservation: Reservation, bytes: number, ahead: number): Promise<boolean>;
  relieve(reservation: Reservation): Promise<boolean>;
  forget(reservation: Reservation): void;
}

/** Release it when the fill has ended; what was written stays counted by the store. */
export class Reservation {
  readonly #space: Grants;
  /** Nothing used at this time or later is evicted for it; epoch milliseconds, undefined: everything may be. */
  #sparesSinceMs: number | undefined;
  #isRefused = false;
  /** Granted, counted in bytes of the ingest. */
  granted = 0;
  /** Of those, on disk. */
  allocated = 0;

  constructor(space: Grants, sparesSinceMs: number | undefined) {
    this.#space = space;
    this.#sparesSinceMs = sparesSinceMs;
  }

  get sparesSinceMs(): number | undefined {
    return this.#sparesSinceMs;
  }

  /** From now on it is worth evicting for. */
  spareNothing(): void {
    this.#sparesSinceMs = undefined;
  }

  /**
   * Makes sure that the ingest may grow to `bytes` (allocated bytes, including the write to come); `leftBytes` of the blob
   * are not written yet, Infinity when unknown. False when there is no room and none can be made.
   */
  cover(bytes: number, leftBytes: number): boolean | Promise<boolean> {
    if (this.#isRefused) return false;
    this.allocated = bytes;
    return bytes <= this.granted ? true : this.#space.grant(this, bytes, Math.min(aheadBytes, leftBytes));
  }

  /** Nothing more is granted. */
  get isRefused(): boolean {
    return this.#isRefused;
  }

  /** Nothing more will be granted. */
  refuse(): void {
    this.#isRefused = true;
  }

  /** The disk said "full": evicts down to the low watermark. True when anything went. */
  relieve(): Promise<boolean> {
    return this.#space.relieve(this);
  }

  release(): void {
    this.#space.forget(this);
  }
}
