/**
 * The duplicated descriptors that a thread has open, in memory that outlives it. A duplicate survives the thread that made
 * it, and its client would never see an end; so whoever owns the thread closes what it left.
 */
import type { Libc } from './libc.ts';

/** A body has one, and a connection one body. */
const defaultCapacity = 16 * 1024;

/** Memory for `capacity` descriptors: 4 bytes each. */
export function fdTableMemory(capacity: number = defaultCapacity): SharedArrayBuffer {
  return new SharedArrayBuffer(capacity * Int32Array.BYTES_PER_ELEMENT);
}

/** The view of the one thread that duplicates. */
export class FdTable {
  /** Descriptor + 1; 0 is a free place. */
  readonly #places: Int32Array;
  readonly #freed: number[] = [];
  #unused = 0;
  #size = 0;

  /** `memory` belongs to no other table, and is empty. */
  constructor(memory: SharedArrayBuffer) {
    this.#places = new Int32Array(memory);
  }

  get size(): number {
    return this.#size;
  }

  get isFull(): boolean {
    return this.#size === this.#places.length;
  }

  /** Returns the place. The table must not be full. */
  enter(fd: number): number {
    const place = this.#freed.pop() ?? this.#unused++;
    Atomics.store(this.#places, place, fd + 1);
    this.#size++;
    return place;
  }

  /** To be called before the descriptor is closed: a thread that dies in between leaks it, and nobody closes another's. */
  leave(place: number): void {
    Atomics.store(this.#places, place, 0);
    this.#freed.push(place);
    this.#size--;
  }
}

/** Ends the connections that a thread left behind. Only after that thread has exited. Returns how many there were. */
export function closeLeftovers(memory: SharedArrayBuffer, libc: Libc): number {
  const places = new Int32Array(memory);
  let closed = 0;
  for (let place = 0; place < places.length; place++) {
    const fd = Atomics.exchange(places, place, 0) - 1;
    if (fd < 0) continue;
    libc.shutdown(fd);
    libc.close(fd);
    closed++;
  }
  return closed;
}
