/** What a function costs as its input grows, compared with itself: no number here is a limit of time. */

export interface Meter {
  readonly nowMicros: () => number;
  /** Shorter runs are repeated until they are this long. */
  readonly leastMicros: number;
  /** Of so many measurements the least counts. */
  readonly tries: number;
}

/** The kernel counts a thread's CPU in steps of some milliseconds. */
export const cpuMeter: Meter = {
  nowMicros: () => {
    const { user, system } = process.threadCpuUsage();
    return user + system;
  },
  leastMicros: 20_000,
  tries: 5,
};

/** Cheap enough for `npm test`: the shortest of many short stretches is one in which nobody else had this processor. */
export const stretchMeter: Meter = { nowMicros: () => performance.now() * 1000, leastMicros: 50, tries: 40 };

/** Microseconds of one call. */
export function costMicros(run: () => unknown, { nowMicros, leastMicros, tries }: Meter): number {
  let least = Number.POSITIVE_INFINITY;
  let repeats = 1;
  let spent = 0;
  // What is far longer than it needs to be is measured once: it may be exponential.
  for (let taken = 0; taken < tries && spent < 10 * tries * leastMicros;) {
    const before = nowMicros();
    for (let i = 0; i < repeats; i++) run();
    const micros = nowMicros() - before;
    spent += micros;
    if (micros < leastMicros) {
      repeats = Math.ceil(repeats * Math.min(64, (1.5 * leastMicros) / Math.max(1, micros)));
      continue;
    }
    least = Math.min(least, micros / repeats);
    taken++;
  }
  return least;
}

export interface GrowthOptions {
  readonly from: number;
  readonly to: number;
  readonly meter: Meter;
  /** Default 3. */
  readonly limit?: number;
}

export interface Growth {
  /** Of the doubling that cost most: how many times the cost of half the size. */
  readonly ratio: number;
  readonly size: number;
}

/**
 * Doubles the size from `from` to `to` and stops at the first step that costs `limit` times the one before, or more, also
 * when it is measured again: so what is exponential is found where it still takes milliseconds. Linear is about 2.
 */
export function growth<T>(
  { from, to, meter, limit = 3 }: GrowthOptions,
  make: (size: number) => T,
  run: (input: T) => unknown,
): Growth {
  let worst: Growth = { ratio: 0, size: from };
  let half = make(from);
  for (let size = from * 2; size <= to; size *= 2) {
    const whole = make(size);
    let ratio = Number.POSITIVE_INFINITY;
    for (let attempt = 0; attempt < 3 && ratio >= limit; attempt++) {
      const less = costMicros(() => run(half), meter);
      ratio = Math.min(ratio, costMicros(() => run(whole), meter) / less);
    }
    if (ratio > worst.ratio) worst = { ratio, size };
    if (ratio >= limit) break;
    half = whole;
  }
  return worst;
}
