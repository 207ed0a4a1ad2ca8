/** Who is served first: lanes, and a place in them that can change. */

/** All of one lane are served before the first of the next; inside a lane, first come, first served. */
export const lanes = ['high', 'normal', 'low'] as const;

export type Lane = (typeof lanes)[number];

/** A lane for everything that is done for one purpose: whoever waits in it moves along. */
export class MovingLane {
  #current: Lane;
  readonly #listeners = new Set<() => void>();

  constructor(current: Lane) {
    this.#current = current;
  }

  get current(): Lane {
    return this.#current;
  }

  moveTo(lane: Lane): void {
    if (lane === this.#current) return;
    this.#current = lane;
    for (const listener of this.#listeners) listener();
  }

  /** Calls `listener` after each change until the returned function is called. */
  onMove(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }
}

export function laneOf(lane: Lane | MovingLane): Lane {
  return lane instanceof MovingLane ? lane.current : lane;
}
