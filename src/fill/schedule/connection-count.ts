/**
 * How many connections one fill uses: one, until it is clear that one is slow; then twice as many as long as twice as many
 * bring markedly more. Where they do not, it goes on looking: many upstreams give a burst before they keep to their rate,
 * and what was compared with a burst is tried again when the rate shows. It only counts; who connects and who looks at
 * the clock is for others.
 */

/** A blob with less than this to come is not worth a second connection: cutting the first one costs what is on its way. */
export const minSplitBytes = 32 * 1024 * 1024;
/** Nor one that will be here sooner than this, in seconds. */
const minLeftSeconds = 1;
/** A single connection that brings this many bytes a second is limited by machines, and not by a rule about connections. */
const fastBytesPerSecond = 150e6;
/** More connections must bring so many times more. */
const minGain = 1.25;
/**
 * Looks that a step gets to show its gain: new connections begin with handshakes and a small window, and what is limited
 * comes in lumps (nginx: a sixth of a second's worth), of which a look sees one more or one less.
 */
const looksPerStep = 4;
/** How many looks tell a rate that lasts, and how much less than its base it must be for that to have been a burst. */
const looksOfRate = 5;
const burstTimes = 1.4;
/** So often a rate may turn out to have been a burst. A line whose rate goes up and down is not for finding out. */
const maxBursts = 3;

export interface Look {
  readonly bytesPerSecond: number;
  /** Still to come. */
  readonly leftBytes: number;
  /** We had no time to take more, whatever the upstream gave. */
  readonly isSaturated: boolean;
}

export class ConnectionCount {
  #limit: number;
  #connections: number;
  /** The last number that was worth it. */
  #proven: number;
  /** Bytes per second with `#proven`; undefined: not measured. */
  #base: number | undefined;
  #looksLeft = 0;
  /** Rates since the last step that brought nothing; undefined while a step is tried. */
  #rates: number[] | undefined;
  #bursts = 0;
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
  look(look: Look): void {
    if (this.#isSettled) return;
    if (this.#rates !== undefined) this.#watch(this.#rates, look);
    else if (this.#base === undefined) this.#begin(look);
    else this.#compare(look, this.#base);
  }

  /** The upstream gives no more than `running`. */
  refused(running: number): void {
    this.#limit = Math.max(1, Math.min(this.#connections, running));
    this.#proven = this.#limit;
    this.#settle();
  }

  #begin({ bytesPerSecond, leftBytes, isSaturated }: Look): void {
    if (leftBytes < Math.max(minSplitBytes, bytesPerSecond * minLeftSeconds)) return this.#settle();
    const isFast = this.#connections === 1 && bytesPerSecond >= fastBytesPerSecond;
    // If it is no burst, nothing is to be done; and where we are slow, whether there is more does not show.
    if (!isFast && !isSaturated) this.#step(bytesPerSecond);
  }

  #compare({ bytesPerSecond, isSaturated }: Look, base: number): void {
    const isGain = bytesPerSecond >= base * minGain;
    if (isGain) this.#proven = this.#connections;
    else this.#looksLeft -= 1;
    if (isSaturated) this.#settle();
    else if (isGain) this.#step(bytesPerSecond);
    else if (this.#looksLeft === 0) this.#fallBack();
  }

  /** What comes is worth its connections; twice as many are tried. */
  #step(bytesPerSecond: number): void {
    this.#base = bytesPerSecond;
    this.#proven = this.#connections;
    if (this.#connections === this.#limit) return this.#settle();
    this.#connections = Math.min(this.#connections * 2, this.#limit);
    this.#looksLeft = looksPerStep;
  }

  #fallBack(): void {
    if (this.#bursts === maxBursts) return this.#settle();
    this.#connections = this.#proven;
    this.#rates = [];
  }

  /** Begins again when what came with the step's base was a burst. */
  #watch(rates: number[], { bytesPerSecond, leftBytes, isSaturated }: Look): void {
    // Where we are slow, the upstream's rate does not show.
    if (isSaturated || rates.push(bytesPerSecond) < looksOfRate) return;
    const rate = rates.reduce((sum, one) => sum + one, 0) / rates.length;
    rates.length = 0;
    if (rate * burstTimes > (this.#base ?? 0)) return;
    this.#bursts += 1;
    this.#rates = undefined;
    this.#base = undefined;
    this.#begin({ bytesPerSecond: rate, leftBytes, isSaturated });
  }

  #settle(): void {
    this.#isSettled = true;
    this.#rates = undefined;
    this.#connections = this.#proven;
  }
}
