/**
 * One daemon per cache root.
 *
 * A pid in a file lies as soon as two containers share the root, so the lock is the operating system's own, taken by
 * SQLite: `BEGIN EXCLUSIVE` on an otherwise empty database, held as long as the process lives. The kernel drops it with
 * the process, however that ends. POSIX locks have one trap: closing *any* descriptor of the file in this process drops
 * them, so nobody may open `weir/lock` through node:fs while it is held.
 */
import { accessSync, closeSync, constants, fstatSync, ftruncateSync, lstatSync, openSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { StoreError } from '../contract/blob-store.ts';
import { hasCode } from '../../lib/system-error.ts';
import { storeError } from '../files/errors.ts';
import type { StorePaths } from '../files/paths.ts';
import { sqliteCode, sqliteCodes } from '../files/sqlite-errors.ts';

export interface RootLock {
  /** Idempotent. */
  release(): void;
}

/** Throws StoreError: `locked` when another process holds the root, `sick` when it cannot be locked at all. */
export function lockRoot(paths: StorePaths): RootLock {
  try {
    makeFile(paths.lock);
    return take(paths.lock);
  } catch (error) {
    const code = sqliteCode(error);
    if (code === sqliteCodes.busy) throw lockedError(paths.root, error);
    if (code !== sqliteCodes.notADatabase && code !== sqliteCodes.corrupt) {
      throw storeError(error, `locking the cache root ${paths.root}`);
    }
  }
  // Garbage in the file. Emptied in place, because with a new file under the name two daemons could each lock their own.
  // Nobody can hold a lock that this drops: with garbage in it the file has never been locked.
  try {
    empty(paths.lock);
    return take(paths.lock);
  } catch (error) {
    if (sqliteCode(error) === sqliteCodes.busy) throw lockedError(paths.root, error);
    throw storeError(error, `locking the cache root ${paths.root}`);
  }
}

/** SQLite would follow a link, and make a new file readable to everybody. */
function makeFile(path: string): void {
  const create = constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW | constants.O_RDWR;
  try {
    closeSync(openSync(path, create, 0o600));
  } catch (error) {
    if (!hasCode(error, 'EEXIST')) throw error;
    const stats = lstatSync(path);
    // SQLite would only say that it cannot open something.
    if (stats.isFile()) return accessSync(path, constants.R_OK | constants.W_OK);
    throw new StoreError('layout', `${path} is ${stats.isSymbolicLink() ? 'a symbolic link' : 'no file'}; remove it`);
  }
}

/** Only a file that is weir's alone: with a second name it may be anybody's. */
function empty(path: string): void {
  const descriptor = openSync(path, constants.O_RDWR | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const stats = fstatSync(descriptor);
    if (!stats.isFile() || stats.nlink !== 1) {
      throw new StoreError('layout', `${path} is no lock file of weir's and has other names; remove it`);
    }
    ftruncateSync(descriptor, 0);
  } finally {
    closeSync(descriptor);
  }
}

function take(path: string): RootLock {
  const database = new DatabaseSync(path, { timeout: 0 });
  try {
    // Nothing is ever written, so nothing needs to be undone: no journal beside the lock.
    database.exec('PRAGMA journal_mode = OFF; BEGIN EXCLUSIVE');
  } catch (error) {
    database.close();
    throw error;
  }
  return {
    release: () => {
      if (database.isOpen) database.close();
    },
  };
}

function lockedError(root: string, cause: unknown): StoreError {
  return new StoreError(
    'locked',
    `the cache root ${root} is in use by another weir; stop that one, or give this one a root of its own (cache.root)`,
    { cause },
  );
}
