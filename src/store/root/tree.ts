/**
 * The directories and files of a root that weir calls its own. A root may have been carried here, or lie where others can
 * write, so no name in it is taken for what it says: a link is refused, whatever it points to, and a file that has a second
 * name elsewhere is copied before anything is written into it. Only the path of the root itself may lead over links.
 */
import { constants, type Stats } from 'node:fs';
import { access, chmod, copyFile, lstat, mkdir, rename, rm, unlink } from 'node:fs/promises';
import { randomBytes } from 'node:crypto';
import { StoreError } from '../contract/blob-store.ts';
import { errorCode, hasCode } from '../../lib/system-error.ts';
import { blobAlgorithms, blobDirectory, metadataSuffixes, type StorePaths } from '../files/paths.ts';

/** Rejects with StoreError `layout` when one of weir's own names is a symbolic link, or a directory's name is none. */
export async function refuseLinks(paths: StorePaths): Promise<void> {
  // From the top down: what lies below a link is not looked at.
  for (const directory of ownDirectories(paths)) await refuseUnlessDirectory(directory);
  for (const file of ownFiles(paths)) {
    if ((await look(file))?.isSymbolicLink() === true) throw linkError(file);
  }
}

/** Makes the directory if it is missing; its parent must be there. Rejects as `refuseLinks` does, else with the system's error. */
export async function makeOwnDirectory(path: string, mode?: number): Promise<void> {
  try {
    await mkdir(path, mode === undefined ? {} : { mode });
  } catch (error) {
    if (!hasCode(error, 'EEXIST')) throw error;
    await refuseUnlessDirectory(path);
  }
}

/**
 * Takes from others what only weir needs: `weir/` and the catalog. What this user may not change stays as it is. The
 * group's rights stay: a volume that is shared by group (Kubernetes' fsGroup) lives by them.
 */
export async function makePrivate(paths: StorePaths): Promise<void> {
  const names = [paths.own, paths.ingest, paths.quarantine, ...metadataFiles(paths)];
  for (const path of names) {
    const stats = await look(path);
    if (stats === undefined || stats.isSymbolicLink() || (stats.mode & 0o007) === 0) continue;
    try {
      await chmod(path, stats.mode & 0o7770);
    } catch (error) {
      if (!hasCode(error, 'EPERM', 'ENOTSUP', 'EROFS', 'EACCES')) throw error;
    }
  }
}

/** A catalog with a second name (a backup made of hard links) becomes a file of its own: SQLite writes in place. */
export async function separateMetadata(paths: StorePaths): Promise<void> {
  for (const path of metadataFiles(paths)) {
    const stats = await look(path);
    if (stats === undefined || !stats.isFile() || stats.nlink === 1) continue;
    const copy = `${path}.${randomBytes(6).toString('hex')}.tmp`;
    try {
      await copyFile(path, copy, constants.COPYFILE_EXCL);
      await rename(copy, path);
    } finally {
      await rm(copy, { force: true });
    }
  }
}

/** A place of weir's own that is closed to this user. */
export interface ClosedPlace {
  readonly path: string;
  /** User id. */
  readonly owner: number;
  readonly code: string;
}

/** The first of weir's own directories in which this user cannot write, or of the files that it has to write in. */
export async function closedPlace(paths: StorePaths): Promise<ClosedPlace | undefined> {
  const [read, write, search] = [constants.R_OK, constants.W_OK, constants.X_OK];
  const places = [
    ...ownDirectories(paths).map((path) => [path, read | write | search] as const),
    ...[paths.lock, ...metadataFiles(paths)].map((path) => [path, read | write] as const),
  ];
  for (const [path, mode] of places) {
    const code = await access(path, mode).then(() => undefined, errorCode);
    if (code === undefined || code === 'ENOENT') continue;
    return { path, owner: (await look(path))?.uid ?? -1, code };
  }
  return undefined;
}

/** Removes a name, never what a link points to, and never a directory. */
export async function removeName(path: string): Promise<void> {
  try {
    await unlink(path);
  } catch (error) {
    if (!hasCode(error, 'ENOENT', 'EISDIR', 'EPERM')) throw error;
  }
}

function ownDirectories(paths: StorePaths): readonly string[] {
  const algorithms = blobAlgorithms.map((algorithm) => blobDirectory(paths, algorithm));
  return [paths.own, paths.blobs, ...algorithms, paths.ingest, paths.quarantine];
}

function ownFiles(paths: StorePaths): readonly string[] {
  const { layout, index, version, clean, lock, foreignIndex } = paths;
  return [layout, index, version, clean, lock, foreignIndex, ...metadataFiles(paths)];
}

function metadataFiles({ metadata }: StorePaths): readonly string[] {
  return metadataSuffixes.map((suffix) => `${metadata}${suffix}`);
}

async function refuseUnlessDirectory(path: string): Promise<void> {
  const stats = await look(path);
  if (stats === undefined || stats.isDirectory()) return;
  if (stats.isSymbolicLink()) throw linkError(path);
  throw new StoreError('layout', `${path} is not a directory; move it away, and weir makes one`);
}

async function look(path: string): Promise<Stats | undefined> {
  try {
    return await lstat(path);
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ENOTDIR')) return undefined;
    throw error;
  }
}

function linkError(path: string): StoreError {
  return new StoreError(
    'layout',
    `${path} is a symbolic link, and weir follows none inside its root; remove the link (weir then makes its own), ` +
      'bind-mount what it points to in its place, or let cache.root itself lead to another disk',
  );
}
