/** What can hold a question back for a while. A question passes when all its gates are open. */

export interface Gate {
  /** Monotonic time from which the next one may pass; -Infinity while nobody has to wait. */
  readonly opensAtMs: number;
  /** One has passed. */
  passed(): void;
}

/** One every so often, while it is on. */
export class PacedGate implements Gate {
  readonly #intervalMs: number;
  readonly #monotonic: () => number;
  readonly #isOn: () => boolean;
  #nextMs = -Infinity;

  constructor(intervalMs: number, monotonic: () => number, isOn: () => boolean) {
    this.#intervalMs = intervalMs;
    this.#monotonic = monotonic;
    this.#isOn = isOn;
  }

  get opensAtMs(): number {
    return this.#isOn() ? this.#nextMs : -Infinity;
  }

  passed(): void {
    if (this.#isOn()) this.#nextMs = this.#monotonic() + this.#intervalMs;
  }
}
