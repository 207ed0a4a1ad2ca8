/** SQLite's primary result codes, as far as weir decides on them (sqlite.org/rescode.html). */

export const sqliteCodes = {
  error: 1,
  permission: 3,
  busy: 5,
  locked: 6,
  noMemory: 7,
  readOnly: 8,
  ioError: 10,
  corrupt: 11,
  full: 13,
  cannotOpen: 14,
  protocol: 15,
  notADatabase: 26,
} as const;

const damage: ReadonlySet<number> = new Set([sqliteCodes.corrupt, sqliteCodes.notADatabase]);
const sickness: ReadonlySet<number> = new Set([
  sqliteCodes.permission,
  sqliteCodes.busy,
  sqliteCodes.locked,
  sqliteCodes.noMemory,
  sqliteCodes.readOnly,
  sqliteCodes.ioError,
  sqliteCodes.full,
  sqliteCodes.cannotOpen,
  sqliteCodes.protocol,
]);

/** The primary code of an error of node:sqlite (the low byte of the extended one), or undefined for any other error. */
export function sqliteCode(error: unknown): number | undefined {
  if (!(error instanceof Error) || !('errcode' in error)) return undefined;
  return typeof error.errcode === 'number' ? error.errcode & 0xff : undefined;
}

/** The file is not what SQLite wrote: it must be set aside. */
export function isDamage(error: unknown): boolean {
  const code = sqliteCode(error);
  // A number beyond 2^53 cannot have been written by weir either; node:sqlite refuses to hand it out.
  if (code === undefined) return error instanceof RangeError;
  return damage.has(code);
}

/** Another process holds the file. */
export function isLock(error: unknown): boolean {
  const code = sqliteCode(error);
  return code === sqliteCodes.busy || code === sqliteCodes.locked;
}

/** The file may be right, but the disk does not do what was asked. */
export function isSickness(error: unknown): boolean {
  const code = sqliteCode(error);
  return code !== undefined && sickness.has(code);
}

/** A statement does not fit the tables that are there. */
export function isLogicError(error: unknown): boolean {
  return sqliteCode(error) === sqliteCodes.error;
}
