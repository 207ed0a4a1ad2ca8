/** Files that the configuration names. Synchronous, because nothing else happens before the configuration is known. */
import { accessSync, constants, readFileSync, statSync } from 'node:fs';
import { delimiter, join, resolve } from 'node:path';
import { hasCode } from '../../lib/system-error.ts';
import type { Env } from './variables.ts';

/** Where relative paths and `~/` lead. */
export interface Place {
  readonly cwd: string;
  readonly env: Env;
}

/** Absolute. Relative paths count from the working directory, wherever they are written. */
export function absolute(path: string, { cwd, env }: Place): string {
  const home = env['HOME'];
  if (home !== undefined && home !== '' && (path === '~' || path.startsWith('~/')))
    return resolve(cwd, join(home, path.slice(1)));
  return resolve(cwd, path);
}

export function readText(path: string): { readonly text: string } | { readonly problem: string } {
  try {
    return { text: new TextDecoder('utf-8', { fatal: true }).decode(readFileSync(path)) };
  } catch (error) {
    return { problem: error instanceof TypeError ? 'the file is not UTF-8 text' : reason(error) };
  }
}

/** Undefined when it is a file (or a pipe of a shell) that this process may read and that is not empty. */
export function fileProblem(path: string): string | undefined {
  try {
    const stats = statSync(path);
    if (stats.isDirectory()) return 'this is a directory, not a file';
    accessSync(path, constants.R_OK);
    return stats.isFile() && stats.size === 0 ? 'the file is empty' : undefined;
  } catch (error) {
    return reason(error);
  }
}

/** Whether an executable of that name is in a directory of PATH. */
export function isOnPath(program: string, env: Env): boolean {
  const directories = (env['PATH'] ?? '').split(delimiter).filter((directory) => directory !== '');
  return directories.some((directory) => {
    try {
      accessSync(join(directory, program), constants.X_OK);
      return true;
    } catch {
      // Not here; the next directory may have it.
      return false;
    }
  });
}

function reason(error: unknown): string {
  if (hasCode(error, 'ENOENT', 'ENOTDIR')) return 'there is no such file';
  if (hasCode(error, 'EACCES', 'EPERM')) return 'the file may not be read';
  if (hasCode(error, 'EISDIR')) return 'this is a directory, not a file';
  if (error instanceof Error) return `the file cannot be read: ${error.message}`;
  throw error;
}
