/** Reading columns. A cell that is not what weir writes makes its row unreadable, which is the same as absent. */
import type { Row } from './database.ts';

export function textOf(row: Row, column: string): string | undefined {
  const value = row[column];
  return typeof value === 'string' ? value : undefined;
}

export function integerOf(row: Row, column: string): number | undefined {
  const value = row[column];
  return typeof value === 'number' ? value : undefined;
}

/** SQLite has no booleans. */
export function factOf(row: Row, column: string): boolean {
  return row[column] === 1;
}

export function bit(fact: boolean): number {
  return fact ? 1 : 0;
}

/** The readable ones. */
export function readable<T>(rows: readonly Row[], read: (row: Row) => T | undefined): readonly T[] {
  return rows.flatMap((row) => {
    const value = read(row);
    return value === undefined ? [] : [value];
  });
}
