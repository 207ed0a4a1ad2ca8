/** What the run found out: one line per check while it goes, the matrix and the sums at the end. */

export const phases = ['cold', 'warm', 'upstream stopped'] as const;
export type Phase = (typeof phases)[number];

interface Cell {
  passed: number;
  failed: number;
  /** Requests the upstream logged meanwhile. */
  requests: number;
  /** Why nothing was played here. */
  reason?: string;
}

const emptyCell = (): Cell => ({ passed: 0, failed: 0, requests: 0 });

/** One check's result as evidence for a reader: what was wrong, and what everybody logged. */
export class CheckError extends Error {
  readonly kind = 'check';
}

export class Report {
  #passed = 0;
  readonly #failures: string[] = [];
  readonly #skipped: string[] = [];
  readonly #rows = new Map<string, Map<Phase, Cell>>();
  readonly #started = Date.now();

  say(line: string): void {
    const seconds = ((Date.now() - this.#started) / 1000).toFixed(1).padStart(6);
    console.log(`${seconds} s  ${line}`);
  }

  /** Runs one check. A failure is printed with its evidence, counted, and does not end the run. */
  async check(
    name: string,
    body: () => Promise<string | void>,
    evidence: () => string | Promise<string> = () => '',
  ): Promise<boolean> {
    try {
      const note = await body();
      this.#passed += 1;
      this.say(`ok      ${name}${note === undefined ? '' : `  (${note})`}`);
      return true;
    } catch (error) {
      this.#failures.push(name);
      this.say(`FAILED  ${name}`);
      const text = error instanceof Error ? error.message : String(error);
      const shown = [text, await evidence()].filter((part) => part !== '').join('\n');
      console.log(shown.replaceAll(/^/gm, '            | '));
      return false;
    }
  }

  skip(name: string, reason: string): void {
    this.#skipped.push(`${name}: ${reason}`);
    this.say(`skipped ${name}: ${reason}`);
  }

  /** Adds one check of the matrix to its cell. */
  cell(row: string, phase: Phase, isOk: boolean, requests: number): void {
    const cell = this.#cellOf(row, phase);
    cell.passed += isOk ? 1 : 0;
    cell.failed += isOk ? 0 : 1;
    cell.requests += requests;
  }

  /** Says why a phase of a row, or a whole row, has nothing to show. */
  empty(row: string, reason: string, only: readonly Phase[] = phases): void {
    for (const phase of only) this.#cellOf(row, phase).reason = reason;
  }

  #cellOf(row: string, phase: Phase): Cell {
    const cells = this.#rows.get(row) ?? new Map(phases.map((one) => [one, emptyCell()] as const));
    this.#rows.set(row, cells);
    const cell = cells.get(phase) ?? emptyCell();
    cells.set(phase, cell);
    return cell;
  }

  /** Cells with neither a check nor a reason: what a broken run leaves behind. */
  #gaps(): string[] {
    return [...this.#rows].flatMap(([row, cells]) =>
      [...cells]
        .filter(([, { passed, failed, reason }]) => passed + failed === 0 && reason === undefined)
        .map(([phase]) => `${row}: nothing was played ${phase}`),
    );
  }

  #matrix(): string[] {
    const show = (cell: Cell = emptyCell()): string => {
      if (cell.passed + cell.failed === 0) return cell.reason ?? 'nothing, without a reason';
      const cost = `${cell.requests} request${cell.requests === 1 ? '' : 's'}`;
      return cell.failed === 0 ? `ok, ${cost}` : `FAILED ${cell.failed}/${cell.failed + cell.passed}, ${cost}`;
    };
    const rows = [...this.#rows].map(([row, cells]) => [row, ...phases.map((phase) => show(cells.get(phase)))]);
    const table = [['client, version @ upstream', ...phases], ...rows];
    const widths = table[0]?.map((_, column) => Math.max(...table.map((row) => row[column]?.length ?? 0))) ?? [];
    return table.map((row) =>
      row
        .map((text, column) => text.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    );
  }

  /** Prints the matrix and the last line; answers the exit code. A run that checked nothing has failed. */
  finish(): number {
    if (this.#rows.size > 0) console.log(`\n${this.#matrix().join('\n')}`);
    console.log('');
    this.#failures.push(...this.#gaps());
    for (const name of this.#failures) console.log(`FAILED: ${name}`);
    for (const reason of this.#skipped) console.log(`skipped: ${reason}`);
    const skipped = this.#skipped.length === 0 ? '' : `, ${this.#skipped.length} skipped`;
    console.log(`${this.#passed} passed, ${this.#failures.length} failed${skipped}`);
    return this.#failures.length === 0 && this.#passed > 0 ? 0 : 1;
  }
}
