/** What a run found out: for each row and peer its samples, or why there are none. */

/** One measurement; the keys are those of `metrics` in report/metrics.ts. */
export type Sample = Readonly<Record<string, number>>;

export interface Cell {
  readonly samples: readonly Sample[];
  /** Why this peer has no number: `wrong: …`, `failed: …`, or that it cannot do this. */
  readonly problem?: string;
}

export interface RowResult {
  /** Unique in the run: `warm-blob-1`. */
  readonly id: string;
  readonly title: string;
  /** By name of the peer, in the order of the run. */
  readonly cells: Readonly<Record<string, Cell>>;
}

export interface ScenarioResult {
  readonly name: string;
  readonly title: string;
  /** What was done, for the reader of the tables. */
  readonly about: string;
  readonly rows: readonly RowResult[];
  /** ISO 8601, when it ended. */
  readonly at: string;
  readonly seconds: number;
  readonly isQuick: boolean;
}

export interface Results {
  readonly machine: Readonly<Record<string, string>>;
  /** Title and version by name. */
  readonly peers: Readonly<Record<string, { readonly title: string; readonly version: string; readonly kind: string }>>;
  readonly missing: readonly string[];
  readonly scenarios: readonly ScenarioResult[];
}

/** Wrong bytes, or an answer that is not one to the question: no number counts. */
export class WrongAnswer extends Error {
  readonly kind = 'wrong';
}

/** Collects samples while scenarios run. */
export class Recorder {
  readonly #rows = new Map<string, { title: string; cells: Map<string, { samples: Sample[]; problem?: string }> }>();

  #cell(row: string, title: string, peer: string): { samples: Sample[]; problem?: string } {
    const entry = this.#rows.get(row) ?? { title, cells: new Map() };
    this.#rows.set(row, entry);
    const cell = entry.cells.get(peer) ?? { samples: [] };
    entry.cells.set(peer, cell);
    return cell;
  }

  add(row: string, title: string, peer: string, sample: Sample): void {
    this.#cell(row, title, peer).samples.push(sample);
  }

  /** From here on this peer has no number in this row. */
  fail(row: string, title: string, peer: string, problem: string): void {
    this.#cell(row, title, peer).problem = problem;
  }

  problem(row: string, peer: string): string | undefined {
    return this.#rows.get(row)?.cells.get(peer)?.problem;
  }

  rows(): readonly RowResult[] {
    return [...this.#rows].map(([id, { title, cells }]) => ({ id, title, cells: Object.fromEntries(cells) }));
  }
}

/** Scenarios of a new run take the place of older ones; what was not run this time stays as it was. */
export function mergeResults(old: Results | undefined, next: Results): Results {
  if (old === undefined) return next;
  const fresh = new Map(next.scenarios.map((scenario) => [scenario.name, scenario]));
  const kept = old.scenarios.map((scenario) => fresh.get(scenario.name) ?? scenario);
  const added = next.scenarios.filter(({ name }) => !old.scenarios.some((scenario) => scenario.name === name));
  return { ...next, peers: { ...old.peers, ...next.peers }, scenarios: [...kept, ...added] };
}
