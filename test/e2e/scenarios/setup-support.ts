/** What the scenarios of `weir setup` have in common. */
import type { Artifact } from '../content/seed.ts';
import { CheckError } from '../report.ts';
import type { Seeded } from '../stage.ts';
import type { Weir } from '../weir.ts';

export interface Printed {
  readonly files: readonly { readonly path: string; readonly content: string }[];
  readonly commands: readonly string[];
}

/** What `weir setup CLIENT --json` says, for one upstream or for all. */
export async function printed(weir: Weir, client: string, upstream?: string): Promise<Printed> {
  const only = upstream === undefined ? [] : ['--upstream', upstream];
  return JSON.parse(await weir.command(['setup', client, '--json', ...only])) as Printed;
}

export function artifactOf({ artifacts }: Seeded, name: string): Artifact {
  const found = artifacts.find((artifact) => artifact.name === name);
  if (found === undefined) throw new Error(`no ${name}`);
  return found;
}

/** The arguments of the one printed command line, with names put in for its placeholders. */
export function argumentsOf(
  commands: readonly string[],
  program: string,
  names: Readonly<Record<string, string>>,
): readonly string[] {
  let [line = ''] = commands;
  for (const [name, value] of Object.entries(names)) {
    if (!line.includes(name)) throw new CheckError(`no ${name} in ${line}`);
    line = line.replace(name, value);
  }
  const [first, ...args] = line.split(' ');
  if (first !== program) throw new CheckError(line);
  return args;
}
