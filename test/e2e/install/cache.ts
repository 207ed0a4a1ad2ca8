/** Where built programs are kept by name@version, outside the tree, from one run to the next. */
import { createHash } from 'node:crypto';
import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';
import type { BuiltProgram } from '../programs.ts';

export const cacheDirectory = process.env['WEIR_E2E_CACHE'] ?? join(homedir(), '.cache', 'weir-e2e');

/** Where a program is built, and what is there afterwards. */
export interface Place {
  readonly directory: string;
  /** A file to run; of a Python package the directory that Python needs on its path. */
  readonly path: string;
  readonly isDirectory: boolean;
}

export function placeOf(program: BuiltProgram): Place {
  const last = program.package.split('/').at(-1) ?? program.package;
  const directory = join(cacheDirectory, `${last}@${program.version}`);
  switch (program.from) {
    case 'go':
      return { directory, path: join(directory, last), isDirectory: false };
    case 'pypi':
      return { directory, path: directory, isDirectory: true };
    case 'npm':
      return { directory, path: join(directory, 'node_modules', '.bin', program.binary), isDirectory: false };
    case 'cargo':
      return { directory, path: join(directory, 'bin', last), isDirectory: false };
  }
}

/** The version of our own Go programs is the hash of their sources. */
export function placeOfOwn(module: string, binary: string): Place {
  const hash = createHash('sha256');
  const sources = readdirSync(module, { recursive: true, encoding: 'utf8' }).filter((name) =>
    /\.go$|go\.(mod|sum)$/.test(name),
  );
  for (const name of sources.toSorted()) hash.update(name).update(readFileSync(join(module, name)));
  const directory = join(cacheDirectory, `${binary}@${hash.digest('hex').slice(0, 12)}`);
  return { directory, path: join(directory, binary), isDirectory: false };
}

export function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false; // the question is only whether it can be run
  }
}

export function isThere({ path, isDirectory }: Place): boolean {
  return isDirectory ? existsSync(path) : isExecutable(path);
}

export function onPath(name: string): string | undefined {
  return (process.env['PATH'] ?? '')
    .split(delimiter)
    .map((directory) => join(directory, name))
    .find(isExecutable);
}

const overdueFile = (): string => join(cacheDirectory, 'did-not-fit.json');

/** Programs whose builds did not fit the last run's time. */
export function readOverdue(): readonly string[] {
  if (!existsSync(overdueFile())) return [];
  return JSON.parse(readFileSync(overdueFile(), 'utf8')) as readonly string[];
}

export function writeOverdue(names: readonly string[]): void {
  mkdirSync(cacheDirectory, { recursive: true });
  if (names.length === 0) rmSync(overdueFile(), { force: true });
  else writeFileSync(overdueFile(), JSON.stringify(names));
}
