/**
 * What becomes of questions and writes while another process holds the catalog's file (a backup, somebody who looks at it
 * with sqlite3): whoever meets the lock waits a moment, those after him do not, and writes are made up for later.
 */
import type { SQLInputValue } from 'node:sqlite';
import type { Clock } from '../../lib/clock.ts';

/** How long nobody waits again. */
const restMs = 250;
/** The first ones are kept: later ones are mostly uses that were not noted, the least of what can be lost. */
const mostOwed = 4096;

export interface Statement {
  readonly sql: string;
  readonly parameters: readonly SQLInputValue[];
}

export class MetadataLock {
  readonly #clock: Clock;
  readonly #restsUntilMs = { reads: Number.NEGATIVE_INFINITY, writes: Number.NEGATIVE_INFINITY };
  #owed: Statement[] = [];

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get hasOwed(): boolean {
    return this.#owed.length > 0;
  }

  isMet(by: 'reads' | 'writes'): boolean {
    return this.#clock.monotonic() < this.#restsUntilMs[by];
  }

  met(by: 'reads' | 'writes'): void {
    this.#restsUntilMs[by] = this.#clock.monotonic() + restMs;
  }

  owe(statement: Statement): void {
    if (this.#owed.length < mostOwed) this.#owed.push(statement);
  }

  /** In their order; the caller writes them. */
  takeOwed(): readonly Statement[] {
    const owed = this.#owed;
    this.#owed = [];
    return owed;
  }
}
