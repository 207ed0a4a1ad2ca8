/**
 * Opening a cache root: is this directory ours, which version wrote it, did the last daemon stop in order.
 *
 * A root is recognised by `weir/lock` or `weir/version`, or by being an OCI image layout (its blobs are then unproved).
 * An empty directory becomes one. Anything else is refused before a single byte is written into it.
 */
import { readdir, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { syncDirectory, writeFileAtomic } from '../../lib/files/atomic-file.ts';
import type { Logger } from '../../lib/log.ts';
import { makeDirectories } from '../../lib/files/make-directories.ts';
import { isJsonObject, parseJson } from '../../lib/json/json.ts';
import { isLayoutMarker, layoutMarker } from '../../oci/layout.ts';
import { StoreError } from '../contract/blob-store.ts';
import { hasCode } from '../../lib/system-error.ts';
import { storeError } from '../files/errors.ts';
import { blobAlgorithms, blobDirectory, isTemporaryName, rootVersion, type StorePaths } from '../files/paths.ts';
import { maxIndexBytes, readRegular } from '../files/regular-file.ts';
import { refuseOtherDevices, tellWhatIsMissing } from './abilities.ts';
import { lockRoot, type RootLock } from './lock.ts';
import { makeOwnDirectory, makePrivate, refuseLinks, removeName, separateMetadata } from './tree.ts';

/** More than any of the files read here has. */
const smallBytes = 4096;

/** How the previous daemon left the root; undefined when it did not stop in order, or when there was none. */
export interface CleanStop {
  readonly stoppedAtMs: number;
}

export interface Root {
  readonly lock: RootLock;
  readonly cleanStop: CleanStop | undefined;
}

/** Takes the lock and makes the tree complete. Rejects with StoreError `layout`, `locked`, `sick` or `full`. */
export async function openRoot(paths: StorePaths, logger: Logger): Promise<Root> {
  let created: string | undefined;
  try {
    created = await makeDirectories(paths.root);
  } catch (error) {
    if (hasCode(error, 'EEXIST', 'ENOTDIR')) throw notOurs(paths, 'is not a directory', error);
    throw storeError(error, `creating the cache root ${paths.root}`);
  }
  const isOurs = await inspectRoot(paths);
  let lock: RootLock | undefined;
  try {
    await makeOwnDirectory(paths.own, 0o700);
    lock = lockRoot(paths);
    await completeTree(paths, logger, isOurs);
    if (created !== undefined) await syncDirectory(dirname(created));
    return { lock, cleanStop: await takeCleanMarker(paths) };
  } catch (error) {
    lock?.release();
    throw storeError(error, `opening the cache root ${paths.root}`);
  }
}

/**
 * Whether weir has written here before (false: empty, or a foreign OCI image layout). Rejects with StoreError `layout`
 * for anything that weir must not touch, a link under one of its own names included.
 */
export async function inspectRoot(paths: StorePaths): Promise<boolean> {
  try {
    // The mount point of a fresh ext file system is not empty.
    const names = new Set((await readdir(paths.root)).filter((name) => name !== 'lost+found'));
    if (names.size === 0) return false;
    await refuseLinks(paths);
    const own = new Set(names.has('weir') ? await readdir(paths.own).catch(emptyUnlessDirectory) : []);
    if (own.has('version') || own.has('lock')) {
      await refuseNewer(paths);
      return true;
    }
    const marker = await readRegular(paths.layout, smallBytes);
    if (marker !== undefined && isLayoutMarker(marker)) return false;
    // A first start that was killed before it had taken the lock.
    if ([...names].every((name) => name === 'weir') && own.size === 0) return false;
  } catch (error) {
    throw storeError(error, `reading the cache root ${paths.root}`);
  }
  throw notOurs(paths, 'holds other files and is neither a weir cache nor an OCI image layout');
}

/** The last act of an orderly stop: everything before it is durable. */
export async function writeCleanMarker(paths: StorePaths, stop: CleanStop): Promise<void> {
  await writeFileAtomic(paths.clean, `${JSON.stringify(stop)}\n`);
}

async function completeTree(paths: StorePaths, logger: Logger, isOurs: boolean): Promise<void> {
  await makeOwnDirectory(paths.blobs);
  for (const algorithm of blobAlgorithms) await makeOwnDirectory(blobDirectory(paths, algorithm));
  await makeOwnDirectory(paths.ingest, 0o700);
  await makeOwnDirectory(paths.quarantine, 0o700);
  await refuseOtherDevices(paths);
  await makePrivate(paths);
  await separateMetadata(paths);
  const marker = await readRegular(paths.layout, smallBytes);
  if (marker === undefined || !isLayoutMarker(marker)) {
    if (isOurs) logger.warn({ path: paths.layout }, 'the layout marker was missing or damaged; it is written again');
    await writeFileAtomic(paths.layout, layoutMarker);
  }
  const version = await readVersion(paths);
  if (version === undefined) {
    await keepForeignIndex(paths);
    if (isOurs)
      logger.warn({ path: paths.version }, 'the root has no readable version and is taken for the current one');
    await writeFileAtomic(paths.version, `${rootVersion}\n`);
  }
  for (const directory of [paths.root, paths.own]) await removeTemporaries(directory);
  for (const directory of [paths.blobs, paths.own, paths.root]) await syncDirectory(directory);
  await tellWhatIsMissing(paths, logger);
}

/** index.json is about to become ours; what somebody else wrote there stays readable beside it. */
async function keepForeignIndex(paths: StorePaths): Promise<void> {
  const index = await readRegular(paths.index, maxIndexBytes);
  if (index === undefined || (await readRegular(paths.foreignIndex, maxIndexBytes)) !== undefined) return;
  await writeFileAtomic(paths.foreignIndex, index);
}

async function removeTemporaries(directory: string): Promise<void> {
  const names = await readdir(directory);
  for (const name of names) if (isTemporaryName(name)) await removeName(join(directory, name));
}

async function takeCleanMarker(paths: StorePaths): Promise<CleanStop | undefined> {
  const bytes = await readRegular(paths.clean, smallBytes);
  if (bytes === undefined) return undefined;
  // Gone, durably, before anything else is written: a crash from here on is an unclean stop.
  await rm(paths.clean);
  await syncDirectory(paths.own);
  return parseCleanStop(bytes);
}

function parseCleanStop(bytes: Uint8Array): CleanStop | undefined {
  // What weir has not written proves nothing: the stop counts as unclean.
  const document = parseJson(bytes, { depth: 8 });
  if (!isJsonObject(document)) return undefined;
  const { stoppedAtMs } = document;
  return typeof stoppedAtMs === 'number' ? { stoppedAtMs } : undefined;
}

async function refuseNewer(paths: StorePaths): Promise<void> {
  const version = await readVersion(paths);
  if (version === undefined || version <= rootVersion) return;
  throw new StoreError(
    'layout',
    `the cache root ${paths.root} has layout version ${version}, this weir knows versions up to ${rootVersion}; ` +
      `run a newer weir, or give this one another root (cache.root)`,
  );
}

async function readVersion(paths: StorePaths): Promise<number | undefined> {
  const bytes = await readRegular(paths.version, smallBytes);
  const text = bytes === undefined ? '' : new TextDecoder().decode(bytes).trim();
  return /^[1-9][0-9]{0,8}$/.test(text) ? Number(text) : undefined;
}

function emptyUnlessDirectory(error: unknown): string[] {
  if (hasCode(error, 'ENOTDIR')) return [];
  throw error;
}

function notOurs(paths: StorePaths, problem: string, cause?: unknown): StoreError {
  return new StoreError(
    'layout',
    `${paths.root} ${problem}; name an empty directory, or one that does not exist yet (cache.root)`,
    { cause },
  );
}
