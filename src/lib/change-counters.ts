/**
 * Counters in shared memory that tell any thread whether something it remembers may have changed since.
 *
 * Whoever remembers takes a stamp *before* looking; whoever changes bumps *after* the change is in effect and before it is
 * reported. Keys share counters by their hash, so a stamp can be outdated by a stranger, which costs one look, but never
 * stays current when its own key was bumped.
 */

/** Pairs of counter and value at the time of the look. */
export type Stamp = readonly number[];

/** Counter 0 belongs to everything. */
const counters = 4096;

export class ChangeCounters {
  /** To be posted to other threads, which make their own ChangeCounters over it. */
  readonly buffer: SharedArrayBuffer;
  readonly #cells: Int32Array<SharedArrayBuffer>;

  constructor(buffer: SharedArrayBuffer = new SharedArrayBuffer(counters * Int32Array.BYTES_PER_ELEMENT)) {
    this.buffer = buffer;
    this.#cells = new Int32Array(buffer);
  }

  stamp(...keys: readonly string[]): Stamp {
    const cells = [0, ...keys.map(cellOf)];
    return cells.flatMap((cell) => [cell, Atomics.load(this.#cells, cell)]);
  }

  /** Nothing under the stamp's keys has been bumped since it was taken. */
  isCurrent(stamp: Stamp): boolean {
    for (let i = 0; i < stamp.length; i += 2) {
      if (Atomics.load(this.#cells, stamp[i] ?? 0) !== stamp[i + 1]) return false;
    }
    return true;
  }

  bump(key: string): void {
    Atomics.add(this.#cells, cellOf(key), 1);
  }

  bumpAll(): void {
    Atomics.add(this.#cells, 0, 1);
  }
}

/** FNV-1a, folded onto the counters behind the common one. */
function cellOf(key: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < key.length; i++) hash = Math.imul(hash ^ key.charCodeAt(i), 0x01000193);
  return 1 + ((hash >>> 0) % (counters - 1));
}
