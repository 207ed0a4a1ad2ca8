/**
 * `mkdir -p`. Node's own (`recursive: true`) never ends, and takes a whole core, where a directory is there and yet nothing
 * can be made in it because of ENOENT: /proc, the mount points of an automounter, some file systems in user space.
 */
import { mkdir, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { hasCode } from '../system-error.ts';

/** Resolves the topmost directory that was missing; undefined when `path` was there. Rejects with the system's error. */
export async function makeDirectories(path: string): Promise<string | undefined> {
  try {
    return await make(path);
  } catch (error) {
    const parent = dirname(path);
    if (!hasCode(error, 'ENOENT') || parent === path) throw error;
    const topmost = await makeDirectories(parent);
    // Once more, and no oftener: with its parent there, what it says now is final.
    const made = await make(path);
    return topmost ?? made;
  }
}

/** Undefined when it is there already. */
async function make(path: string): Promise<string | undefined> {
  try {
    await mkdir(path);
    return path;
  } catch (error) {
    // Read-only file systems and directories of others say so of what is there, too.
    if (hasCode(error, 'ENOENT') || !(await isDirectory(path))) throw error;
    return undefined;
  }
}

async function isDirectory(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch {
    return false;
  }
}
