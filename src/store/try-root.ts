/**
 * Would a store be well off in this directory? Tries there, in a directory of its own that is removed again, what the
 * store does (blobs/commit.ts, lib/files/atomic-file.ts, root/lock.ts), and changes nothing that is there.
 */
import { randomBytes } from 'node:crypto';
import { access, constants, link, mkdtemp, open, rename, rm, stat, statfs } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { syncDirectory } from '../lib/files/atomic-file.ts';
import type { Clock } from '../lib/clock.ts';
import { silentLogger } from '../lib/log.ts';
import { StoreError } from './contract/blob-store.ts';
import { hasCode } from '../lib/system-error.ts';
import { openStoreForReading } from './open.ts';
import { storePaths } from './files/paths.ts';
import { refuseOtherDevices } from './root/abilities.ts';
import { inspectRoot } from './root/root.ts';
import { closedPlace } from './root/tree.ts';

export interface RootReport {
  /** `new`: absent, empty, or an image layout that weir would adopt. */
  readonly state: { readonly kind: 'ours' | 'new' } | { readonly kind: 'refused'; readonly reason: string };
  /** The root, or the nearest directory above it that exists; where `failure` is about something in the root, that. */
  readonly place: string;
  /** User id of the owner of `place`. */
  readonly owner: number;
  /** Undefined: all went well. Else the first step that did not, and why. */
  readonly failure: { readonly step: string; readonly code: string } | undefined;
  /** What weir can do without, and has to here: `chmod`, `hard links`. */
  readonly lacks: readonly string[];
  /** `a` and `A` are two files. Undefined where nothing could be tried. */
  readonly isCaseSensitive: boolean | undefined;
  /** What weir has stored there; undefined where that cannot be told. */
  readonly storedBytes: number | undefined;
}

export interface FileSystem {
  /** `f_type` of statfs(2) on Linux; means nothing elsewhere. */
  readonly type: number;
  readonly totalBytes: number;
  /** For this user. */
  readonly freeBytes: number;
}

/** Of an existing directory. Rejects with the system's error. */
export async function fileSystemOf(path: string): Promise<FileSystem> {
  const { type, bsize, blocks, bavail } = await statfs(path);
  return { type, totalBytes: blocks * bsize, freeBytes: bavail * bsize };
}

/** Rejects with the system's error where not even a directory above the root can be looked at. */
export async function probeRoot(root: string, clock: Clock): Promise<RootReport> {
  const paths = storePaths(root);
  const place = await nearest(paths.root);
  const { uid: owner } = await stat(place);
  const base = { place, owner, isCaseSensitive: undefined, lacks: [], storedBytes: undefined };
  if (place !== paths.root) return { ...base, state: { kind: 'new' }, storedBytes: 0, ...(await tryOut(place)) };
  let isOurs: boolean;
  try {
    isOurs = await inspectRoot(paths);
    if (isOurs) await refuseOtherDevices(paths);
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    if (error.kind === 'layout')
      return { ...base, state: { kind: 'refused', reason: error.message }, failure: undefined };
    return { ...base, state: { kind: 'ours' }, failure: { step: 'read it', code: codeOf(error.cause ?? error) } };
  }
  const closed = isOurs ? await closedPlace(paths) : undefined;
  if (closed !== undefined) {
    const { path, owner: its, code } = closed;
    return { ...base, place: path, owner: its, state: { kind: 'ours' }, failure: { step: 'write to it', code } };
  }
  // Not beside the blobs, which are a layout that others read.
  const tried = await tryOut(isOurs ? paths.own : paths.root);
  const storedBytes = isOurs ? await storedIn(root, clock) : 0;
  return { ...base, state: { kind: isOurs ? 'ours' : 'new' }, storedBytes, ...tried };
}

async function nearest(path: string): Promise<string> {
  try {
    await stat(path);
    return path;
  } catch (error) {
    if (!hasCode(error, 'ENOENT') || dirname(path) === path) throw error;
    return nearest(dirname(path));
  }
}

type Tried = Pick<RootReport, 'failure' | 'isCaseSensitive' | 'lacks'>;

async function works(attempt: Promise<void>): Promise<boolean> {
  return attempt.then(
    () => true,
    () => false, // what weir does without
  );
}

async function tryOut(parent: string): Promise<Tried> {
  const lacks: string[] = [];
  let step = 'write to it';
  let directory: string | undefined;
  try {
    await access(parent, constants.W_OK | constants.X_OK);
    directory = await mkdtemp(join(parent, '.weir-doctor-'));
    const at = (name: string): string => join(directory ?? parent, name);
    {
      await using file = await open(at('part'), 'wx');
      await file.writeFile(randomBytes(64));
      if (!(await works(file.chmod(0o444)))) lacks.push('chmod');
      step = 'fsync a file';
      await file.sync();
    }
    if (!(await works(link(at('part'), at('blob'))))) lacks.push('hard links');
    step = 'rename a file';
    await rename(at('part'), at('renamed'));
    step = 'fsync a directory';
    await syncDirectory(directory);
    step = 'lock a file';
    tryDatabase(at('lock'), 'PRAGMA journal_mode = OFF; BEGIN EXCLUSIVE');
    step = 'share memory through a file (SQLite in WAL mode)';
    tryDatabase(at('catalog'), 'PRAGMA journal_mode = WAL; CREATE TABLE t (a)', 'wal');
    step = 'look a file up';
    const isCaseSensitive = await stat(at('BLOB')).then(
      () => false,
      () => true, // not there, as it should be
    );
    return { failure: undefined, isCaseSensitive, lacks };
  } catch (error) {
    return { failure: { step, code: codeOf(error) }, isCaseSensitive: undefined, lacks };
  } finally {
    if (directory !== undefined) await rm(directory, { recursive: true, force: true });
  }
}

function tryDatabase(path: string, statements: string, journal?: string): void {
  const database = new DatabaseSync(path, { timeout: 0 });
  try {
    database.exec(statements);
    if (journal === undefined) return;
    const mode = database.prepare('PRAGMA journal_mode').get();
    if (mode?.['journal_mode'] !== journal) throw new Error(`journal mode ${String(mode?.['journal_mode'])}`);
  } finally {
    database.close();
  }
}

/** From the catalog, without a walk; a running daemon is not disturbed. */
async function storedIn(root: string, clock: Clock): Promise<number | undefined> {
  try {
    const opened = await openStoreForReading({ root, clock, logger: silentLogger });
    const { blobBytes } = opened.store.usage();
    await opened.close();
    return blobBytes;
  } catch (error) {
    // No catalog yet, or a damaged one: weir makes another when it starts.
    if (error instanceof StoreError) return undefined;
    throw error;
  }
}

function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return 'code' in error && typeof error.code === 'string' && 'syscall' in error ? error.code : error.message;
}
