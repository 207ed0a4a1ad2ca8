/** Sorted, disjoint, half-open intervals of whole numbers: which parts of something are there. */

/** `[start, end)` */
export interface Interval {
  readonly start: number;
  readonly end: number;
}

export class IntervalSet {
  /** Parallel and ascending. Neighbours never touch: `#ends[i] < #starts[i + 1]`. */
  readonly #starts: number[] = [];
  readonly #ends: number[] = [];
  #total = 0;

  static fromEntries(entries: Iterable<Interval>): IntervalSet {
    const set = new IntervalSet();
    for (const { start, end } of entries) set.add(start, end);
    return set;
  }

  /** How many numbers are in the set. */
  get total(): number {
    return this.#total;
  }

  /** How many runs the set consists of. */
  get runs(): number {
    return this.#starts.length;
  }

  /** Adds `[start, end)`; what is there already stays. An empty interval adds nothing. */
  add(start: number, end: number): void {
    if (!Number.isSafeInteger(start) || !Number.isSafeInteger(end) || start < 0 || end < start) {
      throw new RangeError(`no interval: [${start}, ${end})`);
    }
    if (start === end) return;
    // The runs from `low` up to (excluding) `high` touch or overlap the new one and melt into it.
    const low = firstIndex(this.#ends, start);
    const high = firstIndex(this.#starts, end + 1);
    const mergedStart = Math.min(start, low < high ? at(this.#starts, low) : start);
    const mergedEnd = Math.max(end, low < high ? at(this.#ends, high - 1) : end);
    for (let i = low; i < high; i++) this.#total -= at(this.#ends, i) - at(this.#starts, i);
    this.#total += mergedEnd - mergedStart;
    this.#starts.splice(low, high - low, mergedStart);
    this.#ends.splice(low, high - low, mergedEnd);
  }

  /** Where the run that holds `position` ends; `position` itself when it is not in the set. */
  runEnd(position: number): number {
    const i = firstIndex(this.#ends, position + 1);
    return i < this.#starts.length && at(this.#starts, i) <= position ? at(this.#ends, i) : position;
  }

  /** The first stretch of `[from, to)` that is not in the set, or undefined when all of it is. */
  firstGap(from: number, to: number): Interval | undefined {
    const start = this.runEnd(from);
    if (start >= to) return undefined;
    const next = firstIndex(this.#starts, start);
    return { start, end: next < this.#starts.length ? Math.min(to, at(this.#starts, next)) : to };
  }

  /** The runs, ascending: a copy. */
  entries(): readonly Interval[] {
    return this.#starts.map((start, i) => ({ start, end: at(this.#ends, i) }));
  }
}

/** Index of the first value that is at least `least`, in an ascending list. */
function firstIndex(values: readonly number[], least: number): number {
  let low = 0;
  let high = values.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (at(values, middle) < least) low = middle + 1;
    else high = middle;
  }
  return low;
}

function at(values: readonly number[], index: number): number {
  const value = values[index];
  if (value === undefined) throw new RangeError(`index ${index} of ${values.length}`);
  return value;
}
