/** The first step of every command that needs a configuration. */
import { type Loaded, loadConfig } from '../../config/load.ts';
import { type ConfigProblem, formatProblem } from '../../config/read/problem.ts';
import { pathText } from '../../config/values/tree.ts';
import type { Options } from './args.ts';
import { type CliIo, printJson, printLine } from './output.ts';

export type LoadedConfig = Extract<Loaded, { readonly kind: 'config' }>;

/** Undefined when there are problems; then all of them have been printed. */
export function loadOrExplain({ config, json }: Options, io: CliIo): LoadedConfig | undefined {
  const loaded = loadConfig({ path: config, env: io.env, cwd: io.cwd });
  if (loaded.kind === 'config') return loaded;
  if (json) printJson(io.out, { ok: false, problems: loaded.problems.map(plainProblem) });
  else explain(loaded.problems, io);
  return undefined;
}

function explain(problems: readonly ConfigProblem[], io: CliIo): void {
  for (const problem of problems) printLine(io.err, formatProblem(problem));
  const count = problems.length === 1 ? '1 problem' : `${problems.length} problems`;
  printLine(io.err, `weir: ${count} in the configuration`);
}

function plainProblem({ origin, path, found, problem }: ConfigProblem): Record<string, unknown> {
  return { origin, path: pathText(path), ...(found === undefined ? {} : { found }), problem };
}
