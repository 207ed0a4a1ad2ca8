/** Finding the suite's programs, and installing those that are missing. What cannot be had fails the run by name. */
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { buildOwnProgram, buildProgram } from './install/build.ts';
import {
  isExecutable,
  isThere,
  onPath,
  placeOf,
  placeOfOwn,
  readOverdue,
  writeOverdue,
  type Place,
} from './install/cache.ts';
import { debianVersion, installDebianPackages } from './install/debian.ts';
import { CommandError } from './process.ts';
import {
  built,
  debian,
  optional,
  own,
  type BuiltProgram,
  type DebianProgram,
  type LateName,
  type NeededName,
  type OwnProgram,
  type ProgramName,
} from './programs.ts';

/** Absolute paths of programs. */
export type Tools = Readonly<Record<NeededName, string>> & Readonly<Partial<Record<LateName, string>>>;

export interface Found {
  readonly tools: Tools;
  /** For a reader, by program: `0.22.1`, `1.9.3+ds1-1`. */
  readonly versions: ReadonlyMap<string, string>;
  /** Why a program that may be absent is absent. */
  readonly absent: ReadonlyMap<string, string>;
}

const ownModule = (module: string): string => resolve(import.meta.dirname, module);

/** The version of a library as a module of ours asks for it. */
function libraryVersion(module: string, library: string): string {
  const lines = readFileSync(join(ownModule(module), 'go.mod'), 'utf8').split('\n');
  const version = lines.map((line) => line.trim().split(' ')).find(([name]) => name === library)?.[1];
  if (version === undefined) throw new Error(`no ${library} in ${module}/go.mod`);
  return version.replace(/^v/, '');
}

type Progress = (line: string) => void;

/** Builds it unless it is there; answers its path. */
async function prepare(place: Place, build: () => Promise<void>, progress: Progress): Promise<string> {
  const name = place.directory.split('/').at(-1);
  if (!isThere(place)) {
    const started = Date.now();
    progress(`building ${name} …`);
    await build();
    progress(`built ${name} in ${((Date.now() - started) / 1000).toFixed(0)} s`);
  }
  if (!isThere(place)) throw new Error(`nothing at ${place.path} after the build`);
  return place.path;
}

const longestBuildMs = 1_800_000;

async function prepareBuilt(program: BuiltProgram, progress: Progress, timeoutMs = longestBuildMs): Promise<string> {
  const place = placeOf(program);
  return prepare(place, () => buildProgram(program, place.directory, timeoutMs), progress);
}

/** One program of the table, for whoever needs no other. */
export async function prepareProgram(
  name: keyof typeof built,
  progress: Progress,
): Promise<{ readonly path: string; readonly version: string }> {
  return { path: await prepareBuilt(built[name], progress), version: built[name].version };
}

/** The main package of a Go module of this repository. */
export async function prepareOwnProgram(
  module: string,
  binary: string,
  progress: Progress,
  source = '.',
): Promise<string> {
  const place = placeOfOwn(module, binary);
  return prepare(place, () => buildOwnProgram(module, source, place.directory), progress);
}

/** What is found while looking for everything. */
class Search {
  readonly paths = new Map<string, string>();
  readonly versions = new Map<string, string>();
  readonly absent = new Map<string, string>();
  readonly missing: string[] = [];
  readonly #progress: Progress;

  constructor(progress: Progress) {
    this.#progress = progress;
  }

  async findDebian(): Promise<void> {
    const entries = Object.entries<DebianProgram>(debian);
    const absent = entries.filter(([, { path }]) => !isExecutable(path)).map(([, program]) => program.package);
    if (absent.length > 0) await installDebianPackages([...new Set(absent)], this.#progress);
    for (const [name, program] of entries) {
      const version = await debianVersion(program.package);
      if (!isExecutable(program.path)) this.missing.push(`${name} (Debian ${program.package}, ${program.path})`);
      else if (version === undefined || !program.versions.test(version)) {
        this.missing.push(
          `${name}: ${program.path} is not Debian 12's ${program.package} but ${version ?? 'something else'}`,
        );
      } else {
        this.paths.set(name, program.path);
        this.versions.set(name, version.replace(/^\d+:/, '').replace(/[+~-].*$/, ''));
      }
    }
  }

  async findOwn(): Promise<void> {
    for (const [name, { module, source, binary, library }] of Object.entries<OwnProgram>(own)) {
      try {
        this.paths.set(name, await prepareOwnProgram(ownModule(module), binary, this.#progress, source));
        if (library !== undefined) this.versions.set(name, libraryVersion(module, library));
      } catch (error) {
        this.#miss(name, error);
      }
    }
  }

  async findFirstTier(): Promise<void> {
    for (const [name, program] of Object.entries<BuiltProgram>(built)) {
      if (program.tier === 2) continue;
      const isLate = await this.#runsOut(name, () => prepareBuilt(program, this.#progress), program.version);
      if (isLate) this.missing.push(`${name}: not built in ${longestBuildMs / 60_000} minutes`);
    }
  }

  /** No build goes on after `deadlineMs` (epoch) but what did not fit last time: that comes first, and takes what it takes. */
  async findSecondTier(wanted: ReadonlySet<string>, deadlineMs: number): Promise<void> {
    const slowUpstreams = readOverdue();
    const entries = Object.entries<BuiltProgram>(built).filter(([name, { tier }]) => tier === 2 && wanted.has(name));
    const ordered = [
      ...entries.filter(([name]) => slowUpstreams.includes(name)),
      ...entries.filter(([name]) => !slowUpstreams.includes(name)),
    ];
    const late: string[] = [];
    for (const [name, program] of ordered) {
      const leftMs = slowUpstreams.includes(name) ? longestBuildMs : Math.min(deadlineMs - Date.now(), longestBuildMs);
      const build = (): Promise<string> => prepareBuilt(program, this.#progress, leftMs);
      const hasTime = leftMs > 0 || isThere(placeOf(program));
      if (hasTime && !(await this.#runsOut(name, build, program.version))) continue;
      late.push(name);
      if (slowUpstreams.includes(name)) this.missing.push(`${name}: its build has not fitted twice`);
      else this.absent.set(name, 'its build did not fit the time for builds; it must the next time');
    }
    // What this run did not ask for stays overdue.
    writeOverdue([...late, ...slowUpstreams.filter((name) => !wanted.has(name))]);
  }

  findOptional(): void {
    for (const [name, program] of Object.entries(optional)) {
      const path = onPath(program);
      if (path === undefined) this.absent.set(name, 'not on the PATH');
      else this.paths.set(name, path);
    }
  }

  /** Notes where it is; or, when its time does not run out, that it is missing. */
  async #runsOut(name: string, build: () => Promise<string>, version: string): Promise<boolean> {
    try {
      this.paths.set(name, await build());
      this.versions.set(name, version.replace(/^v/, ''));
      return false;
    } catch (error) {
      if (error instanceof CommandError && error.kind === 'timeout') return true;
      this.#miss(name, error);
      return false;
    }
  }

  #miss(name: string, error: unknown): void {
    this.missing.push(`${name}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/**
 * Finds or installs everything, of the second tier only what is wanted, and fits what the others leave of the budget;
 * throws an error that names every missing program.
 */
export async function prepareTools(
  wanted: ReadonlySet<ProgramName>,
  buildBudgetMs: number,
  progress: Progress,
): Promise<Found> {
  const deadlineMs = Date.now() + buildBudgetMs;
  const search = new Search(progress);
  await search.findDebian();
  await search.findOwn();
  await search.findFirstTier();
  await search.findSecondTier(wanted, deadlineMs);
  search.findOptional();
  if (search.missing.length > 0) throw new Error(`missing programs:\n  ${search.missing.join('\n  ')}`);
  // Every needed name was found or has thrown above.
  const tools = Object.fromEntries(search.paths) as unknown as Tools;
  return { tools, versions: search.versions, absent: search.absent };
}

/** The path of a program that a scenario has named among its needs. */
export function needed(tools: Tools, name: ProgramName): string {
  const path = tools[name];
  if (path === undefined) throw new Error(`${name} is not among the programs that this scenario names`);
  return path;
}

const sources = {
  go: 'go install',
  pypi: 'pip install',
  npm: 'npm install',
  cargo: 'cargo install',
} as const satisfies Record<BuiltProgram['from'], string>;

/** One line per program for `--list`. */
export function describeTools(): string[] {
  return [
    ...Object.entries<DebianProgram>(debian).map(([name, one]) => `${name}: Debian ${one.package}, ${one.path}`),
    ...Object.entries<BuiltProgram>(built).map(([name, one]) => {
      const late = one.tier === 2 ? ' (second tier)' : '';
      return `${name}: ${sources[one.from]} ${one.package}@${one.version}${late}`;
    }),
    ...Object.entries(own).map(([name, { module }]) => `${name}: test/e2e/${module}`),
    ...Object.values(optional).map((name) => `${name}: used when on the PATH`),
  ];
}
