/** What the scenarios of artifact tools have in common: content pushed to an upstream, then used through weir thrice. */
import { isDeepStrictEqual } from 'node:util';
import { join } from 'node:path';
import { cleanEnvironment, CommandError, run, type CommandOptions } from '../process.ts';
import type { ProgramName } from '../programs.ts';
import { CheckError, type Phase } from '../report.ts';
import { playPhases } from '../scenarios/phases.ts';
import type { Scenario } from '../scenarios.ts';
import { revive, type Seeded, type Stage } from '../stage.ts';
import { needed } from '../tools.ts';
import type { Upstream } from '../upstreams.ts';
import type { Weir } from '../weir.ts';

export interface Bench {
  readonly stage: Stage;
  readonly seeded: Seeded;
  readonly upstream: Upstream;
  /** For files that outlive a phase. */
  readonly directory: string;
  readonly path: (program: ProgramName) => string;
}

export interface Through {
  readonly weir: Weir;
  readonly phase: Phase;
  /** weir's path for the upstream: `host:port/upstream`. */
  readonly base: string;
  /** Empty, and gone when the phase is over: the client's storage and its home. */
  readonly directory: string;
  readonly env: NodeJS.ProcessEnv;
  /**
   * Whether it can be said of each referrer that nothing refers to it. Where that is the absence of a fallback tag, it
   * cannot while the upstream is away, and what walks all levels ends with an error.
   */
  readonly knowsLeaves: boolean;
}

/** Throws unless the tool got through weir what is in the upstream. */
export type Act = (through: Through) => Promise<string | void>;

export interface Tool {
  readonly name: string;
  /** The first one's version is the row's. */
  readonly programs: readonly [ProgramName, ...ProgramName[]];
  readonly upstreams: readonly string[];
  /** Pushes to the upstream itself; answers what is then done through weir. */
  readonly prepare: (bench: Bench) => Promise<Act>;
  /** What is checked besides, on content pushed afresh. */
  readonly afterwards?: (bench: Bench, row: string) => Promise<void>;
}

/** A home of its own, so that no tool finds credentials, caches or trust roots of whoever runs the suite. */
export function homeIn(directory: string, extra: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
  return cleanEnvironment({
    HOME: directory,
    XDG_CACHE_HOME: join(directory, '.cache'),
    XDG_CONFIG_HOME: join(directory, '.config'),
    XDG_DATA_HOME: join(directory, '.local'),
    ...extra,
  });
}

export function expectSame(what: string, got: unknown, wanted: unknown): void {
  if (isDeepStrictEqual(got, wanted)) return;
  throw new CheckError(`${what}: ${JSON.stringify(got)} instead of ${JSON.stringify(wanted)}`);
}

export function expectMatch(what: string, text: string, pattern: RegExp): void {
  if (!pattern.test(text))
    throw new CheckError(`${what} says nothing like ${String(pattern)}:\n${text.slice(0, 2000)}`);
}

/** Runs a program that must fail, and answers the end of what it said. */
export async function failure(command: string, args: readonly string[], options: CommandOptions): Promise<string> {
  try {
    const { stdout } = await run(command, args, options);
    throw new CheckError(`${[command.split('/').at(-1), ...args].join(' ')} succeeded:\n${stdout.slice(0, 2000)}`);
  } catch (error) {
    if (error instanceof CommandError && error.kind === 'exit') return error.message;
    throw error;
  }
}

/** Its standard output as it is, in a file: `run` reads text. */
export async function runInto(file: string, command: string, args: readonly string[], env: NodeJS.ProcessEnv) {
  await run('sh', ['-c', 'out=$1; shift; exec "$@" > "$out"', 'sh', file, command, ...args], { env });
}

const titleOf = ({ name, programs }: Tool, versions: ReadonlyMap<string, string>): string =>
  [name, versions.get(programs[0])].filter((part) => part !== undefined).join(' ');

async function play(stage: Stage, tool: Tool, upstreamName: string): Promise<void> {
  const row = `${titleOf(tool, stage.versions)} @ ${upstreamName}`;
  const seeded = stage.seeded.find(({ upstream }) => upstream.name === upstreamName);
  if (seeded === undefined) throw new Error(`no upstream ${upstreamName}`);
  const { workspace, report, tools } = stage;
  await revive(seeded);
  const path = (program: ProgramName): string => needed(tools, program);
  const directory = workspace.directory(tool.name);
  const bench: Bench = { stage, seeded, upstream: seeded.upstream, directory, path };
  const acts: Act[] = [];
  await report.check(`${row}: pushed to the upstream`, async () => {
    acts.push(await tool.prepare(bench));
  });
  for (const act of acts) {
    await playPhases(stage, {
      row,
      seeded,
      act: async (weir, phase) => {
        const own = workspace.directory(`${tool.name}-${phase}`);
        try {
          return await act({
            weir,
            phase,
            base: `${weir.host}/${upstreamName}`,
            directory: own,
            env: homeIn(own),
            knowsLeaves: phase !== 'upstream stopped' || upstreamName === 'referrers.test',
          });
        } finally {
          workspace.remove(own);
        }
      },
    });
    await tool.afterwards?.(bench, row);
  }
  if (acts.length === 0) report.empty(row, 'nothing could be pushed to the upstream');
  workspace.remove(directory);
}

/** One scenario and one row for each upstream of a tool. */
export function scenariosOf(tool: Tool): readonly Scenario[] {
  return tool.upstreams.map((upstream) => ({
    name: `${tool.name} @ ${upstream}`,
    rows: (versions) => [`${titleOf(tool, versions)} @ ${upstream}`],
    programs: tool.programs,
    play: (stage) => play(stage, tool, upstream),
  }));
}
