/**
 * Opening the database file of the catalog, whatever state it is in: one that cannot be used is set aside, never
 * deleted unread, and a new one takes its place. When the disk refuses even that, the catalog lives in memory: weir
 * then forgets at its next start, and serves until then.
 */
import { closeSync, constants, openSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { Logger } from '../../lib/log.ts';
import { hasCode } from '../../lib/system-error.ts';
import { badMetadataPath, metadataSuffixes, isBadMetadataName } from '../files/paths.ts';
import { checkSchema, isComplete, migrate, probeTables, SchemaError } from './schema.ts';
import { isDamage, isSickness } from '../files/sqlite-errors.ts';

export interface OpenedMetadataFile {
  readonly database: DatabaseSync;
  /** False: the database is new, and what it should hold must be found out from blobs and index.json. */
  readonly isComplete: boolean;
}

const inMemory = ':memory:';
/** How long a question waits for another process that holds the file. */
const lockWaitMs = 20;

/** Never throws for what is on disk; only a programming error gets through. */
export function openMetadataFile(path: string, nowMs: number, logger: Logger): OpenedMetadataFile {
  try {
    return openChecked(path);
  } catch (error) {
    if (isSickness(error)) return openInMemory(path, error, logger);
    if (!isUnusable(error)) throw error;
    return replaceMetadataFile(path, nowMs, error, logger);
  }
}

/** Sets the file at `path` aside (nobody has it open any more) and opens a new one in its place. */
export function replaceMetadataFile(path: string, nowMs: number, reason: unknown, logger: Logger): OpenedMetadataFile {
  try {
    const aside = setAside(path, nowMs);
    logger.warn({ path, aside, err: reason }, 'the catalog cannot be used; it was set aside and is being rebuilt');
    return openChecked(path);
  } catch (error) {
    return openInMemory(path, error, logger);
  }
}

/** For a thread or a command beside the owner. Throws when there is no usable catalog. */
export function openMetadataReadOnly(path: string): DatabaseSync {
  const database = new DatabaseSync(path, { readOnly: true, timeout: 1000 });
  try {
    checkSchema(database);
    probeTables(database);
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

function openChecked(path: string): OpenedMetadataFile {
  if (path !== inMemory) makePrivateFile(path);
  // Nobody else writes; a command that looks at the file may hold it for a moment.
  const database = new DatabaseSync(path, { timeout: 500 });
  try {
    checkSchema(database);
    // NORMAL syncs the log at checkpoints only: a power loss takes the last commits, never the consistency.
    database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA trusted_schema = OFF');
    // The owner's thread does not sync (see checkpointer); this is the emergency stop if that falls behind: 64 MiB.
    database.exec('PRAGMA wal_autocheckpoint = 16384; PRAGMA journal_size_limit = 8388608');
    migrate(database);
    probeTables(database);
    // From now on requests wait for it.
    database.exec(`PRAGMA busy_timeout = ${lockWaitMs}`);
    return { database, isComplete: isComplete(database) };
  } catch (error) {
    database.close();
    throw error;
  }
}

/** SQLite would make it readable to everybody, and gives the mode of the database to the files beside it. */
function makePrivateFile(path: string): void {
  const create = constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW | constants.O_RDWR;
  try {
    closeSync(openSync(path, create, 0o600));
  } catch {
    // It is there, or SQLite will say what is wrong.
  }
}

/** The last resort. */
export function openInMemory(path: string, reason: unknown, logger: Logger): OpenedMetadataFile {
  logger.error({ path, err: reason }, 'the catalog cannot be opened; it is kept in memory until the next start');
  return openChecked(inMemory);
}

function isUnusable(error: unknown): boolean {
  return error instanceof SchemaError || isDamage(error);
}

/** Keeps the newest bad catalog only: they can be large, and one is evidence enough. */
function setAside(path: string, nowMs: number): string {
  const directory = dirname(path);
  for (const name of readdirSync(directory))
    if (isBadMetadataName(name)) rmSync(join(directory, name), { force: true });
  const aside = badMetadataPath(path, nowMs);
  for (const suffix of metadataSuffixes) {
    try {
      renameSync(`${path}${suffix}`, `${aside}${suffix}`);
    } catch (error) {
      if (!hasCode(error, 'ENOENT')) throw error;
    }
  }
  return basename(aside);
}
