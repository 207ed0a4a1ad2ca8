/**
 * How many connections one fill uses: one, until it is clear that one is slow; then twice as many as long as twice as many
 * bring markedly more. It only counts; who connects and who looks at the clock is for others.
 */

/** A blob with less than this to come is not worth a second connection: cutting the first one costs what is on its way. */
export const minSplitBytes = 32 * 1024 * 1024;
/** Nor one that will be here sooner than this, in seconds. */
const minLeftSeconds = 1;
/** A single connection that brings this many bytes a second is limited by machines, and not by a rule about connections. */
const fastBytesPerSecond = 150e6;
/** More connections must bring so many times more. */
const minGain = 1.25;
/** Looks that a step gets to show its gain: new connections begin with handshakes and a small window. */
const looksPerStep = 2;

export interface Look {
  readonly bytesPerSecond: number;
  /** Still to come. */
  readonly leftBytes: number;
  /** We had no time to take more, whatever the upstream gave. */
  readonly isSaturated: boolean;
}

export class Ramp {
  #limit: number;
  #connections: number;
  /** The last number that was worth it. */
  #proven: number;
  /** Bytes per second with `#proven`; undefined: not measured. */
  #base: number | undefined;
  #looksLeft = 0;
  #isSettled: boolean;

  /** `learnt`: what an earlier fill found out; undefined when there was none. */
  constructor(limit: number, learnt?: number) {
    this.#limit = limit;
    this.#connections = Math.min(learnt ?? 1, limit);
    this.#proven = this.#connections;
    this.#isSettled = learnt !== undefined || limit === 1;
  }

  /** To be used now, the first one included. */
  get connections(): number {
    return this.#connections;
  }

  /** The last number of which it is known that it was worth it. */
  get proven(): number {
    return this.#proven;
  }

  /** Nothing more will be tried. */
  get isSettled(): boolean {
    return this.#isSettled;
  }

  /** What came lately over as many connections as should be, and what was going on meanwhile. */
  look({ bytesPerSecond, leftBytes, isSaturated }: Look): void {
    if (this.#isSettled) return;
    if (this.#base === undefined) {
      const isFast = this.#connections === 1 && bytesPerSecond >= fastBytesPerSecond;
      const least = Math.max(minSplitBytes, bytesPerSecond * minLeftSeconds);
      if (isFast || leftBytes < least) return this.#settle();
      // Whether the upstream could give more does not show.
      if (isSaturated) return;
    } else if (bytesPerSecond < this.#base * minGain) {
      this.#looksLeft -= 1;
      if (this.#looksLeft === 0 || isSaturated) this.#settle();
      return;
    }
    this.#base = bytesPerSecond;
    this.#proven = this.#connections;
    if (this.#connections === this.#limit || isSaturated) return this.#settle();
    this.#connections = Math.min(this.#connections * 2, this.#limit);
    this.#looksLeft = looksPerStep;
  }

  /** The upstream gives no more than `running`. */
  refused(running: number): void {
    this.#limit = Math.max(1, Math.min(this.#connections, running));
    this.#proven = this.#limit;
    this.#settle();
  }

  #settle(): void {
    this.#isSettled = true;
    this.#connections = this.#proven;
  }
}
