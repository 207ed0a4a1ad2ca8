/**
 * Files of other programs, read and replaced: each at once and whole, with its old self beside it, its owner and its mode
 * kept. A link is followed, as its program does, but never out of the directory that was named.
 */
import { chown, copyFile, constants, lstat, readFile, realpath, stat } from 'node:fs/promises';
import { basename, dirname, join, relative, sep } from 'node:path';
import { hasCode } from '../../../lib/system-error.ts';
import { writeFileAtomic } from '../../../lib/files/atomic-file.ts';
import { makeDirectories } from '../../../lib/files/make-directories.ts';
import { SetupError, type SetupFile } from '../contract/client-setup.ts';
import { merge, type Merged } from './merge.ts';

export interface Placed {
  /** Below the root that was named; where the file really is, behind links. */
  readonly path: string;
  readonly before: string | undefined;
  readonly merged: Merged;
  readonly file: SetupFile;
}

/** Looks, and changes nothing. Throws SetupError, or the system's error for what cannot be read. */
export async function plan(file: SetupFile, root: string): Promise<Placed> {
  const path = await realPath(join(root, file.path), root);
  const before = await readIfThere(path);
  return { path, before, merged: merge(before, file.content), file };
}

/** Writes what `plan` found. Resolves the name of the backup, where there was a file. */
export async function put({ path, before, merged }: Placed, nowMs: number): Promise<string | undefined> {
  if (merged.kind !== 'changed') return undefined;
  if (before === undefined) {
    await makeDirectories(dirname(path));
    await writeFileAtomic(path, merged.text);
    return undefined;
  }
  // Somebody may have edited it while a person read the question.
  if ((await readIfThere(path)) !== before) throw new SetupError(`${path} has changed meanwhile; run weir setup again`);
  const { mode, uid, gid } = await stat(path);
  const backup = `${path}.before-weir-${new Date(nowMs).toISOString().replaceAll(':', '-')}`;
  await copyFile(path, backup, constants.COPYFILE_EXCL);
  await writeFileAtomic(path, merged.text, { mode: mode & 0o7777 });
  const written = await stat(path);
  if (written.uid !== uid || written.gid !== gid) await chown(path, uid, gid);
  return backup;
}

/** Where writing to `path` would end up. */
async function realPath(path: string, root: string): Promise<string> {
  const parent = dirname(path);
  if (parent === path) return path;
  const isLink = await lstat(path).then(
    (stats) => stats.isSymbolicLink(),
    (error: unknown) => {
      if (hasCode(error, 'ENOENT', 'ENOTDIR')) return false;
      throw error;
    },
  );
  const real = isLink ? await realpath(path) : join(await realParent(parent), basename(path));
  const top = await realParent(root);
  if (real !== top && !`${real}${sep}`.startsWith(top === sep ? sep : `${top}${sep}`))
    throw new SetupError(`${path} leads out of ${root}, to ${relative(top, real)}: name the directory that is meant`);
  return real;
}

/** Of a directory that may not exist yet. */
async function realParent(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch (error) {
    if (!hasCode(error, 'ENOENT') || dirname(path) === path) throw error;
    return join(await realParent(dirname(path)), basename(path));
  }
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined;
    throw error;
  }
}
