/**
 * Values of labels. Each label has a set that cannot grow with what clients or upstreams send: a series lives as long
 * as the process, so one that anybody can make is a leak, and a place for text that does not belong into metrics.
 */

/** What is not in a set is counted under this value. */
export const other = 'other';

export class LabelSet {
  readonly #known: ReadonlySet<string>;

  constructor(known: Iterable<string>) {
    this.#known = new Set(known);
  }

  of(value: string): string {
    return this.#known.has(value) ? value : other;
  }
}

/**
 * For values that are words in our own code, but in many rooms of it: takes them as they come, up to a limit, so that a
 * new word is visible without being listed here.
 */
export class GrowingLabelSet {
  readonly #known = new Set<string>();
  readonly #limit: number;

  constructor(limit: number) {
    this.#limit = limit;
  }

  of(value: string): string {
    if (this.#known.has(value)) return value;
    if (this.#known.size >= this.#limit || !/^[A-Za-z][A-Za-z-]{0,39}$/.test(value)) return other;
    this.#known.add(value);
    return value;
  }
}

/** An HTTP status as label; `other` for what is none. */
export function codeLabel(code: number): string {
  return Number.isInteger(code) && code >= 100 && code <= 599 ? String(code) : other;
}

/** What may be added to a counter: prom-client throws for the rest, and reporting must not throw. */
export function amount(value: number): number {
  return Number.isFinite(value) && value > 0 ? value : 0;
}
