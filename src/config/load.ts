/**
 * The configuration from everything that says something about it: defaults, the file that was named, `WEIR_*`
 * variables, the last word being theirs. Either a Config, or every problem at once.
 */
import * as v from 'valibot';
import { type Contradiction, findContradictions } from './read/checks.ts';
import type { Config } from './values/config.ts';
import { type ParsedDocument, parseYaml } from './read/document.ts';
import { findProxies } from './read/environment.ts';
import { absolute, type Place, readText } from './read/files.ts';
import { isPlain, keepKnown, type Plain } from './schema/known-keys.ts';
import { type ConfigProblem, type Origin, showValue } from './read/problem.ts';
import { resolveConfig } from './read/resolve.ts';
import { configSchema, type Settings } from './schema/schema.ts';
import { type Path, pathText, treeOf, variablesOf } from './values/tree.ts';
import { withBuiltins, withDefaultUpstream } from './read/upstreams.ts';
import { configVariable, defaultUpstreamVariable, type Env, readVariables, removeAt, setAt } from './read/variables.ts';

export interface LoadOptions {
  /** From the command line; wins over WEIR_CONFIG. */
  readonly path?: string | undefined;
  readonly env: Env;
  /** Absolute; relative paths count from here. */
  readonly cwd: string;
}

export type Loaded =
  | {
      readonly kind: 'config';
      readonly config: Config;
      /** What was written, by whomever, with the built-in upstreams; for `weir config show`. */
      readonly written: Plain;
      readonly originOf: (path: Path) => Origin;
    }
  | { readonly kind: 'problems'; readonly problems: readonly ConfigProblem[] };

export const configTree = treeOf(configSchema);
export const configVariables = variablesOf(configTree);

export function loadConfig({ path, env, cwd }: LoadOptions): Loaded {
  const place: Place = { cwd, env };
  const problems: ConfigProblem[] = [];

  // 1. The file, if one is named.
  const file = path ?? (env[configVariable] || undefined);
  const document = file === undefined ? undefined : readDocument(file, path === undefined, place);
  problems.push(...(document?.problems ?? []));
  const { kept: written, problems: misplaced } = keepKnown(configTree, document?.value);

  // 2. Variables.
  const variables = readVariables(env, configVariables);
  problems.push(...variables.problems, ...findProxies(env).problems);
  for (const { key, value } of variables.set) setAt(written, key.path, value);

  // 3. Upstreams that nobody listed.
  const listed = isPlain(written['upstreams']) ? written['upstreams'] : {};
  const isBuiltinWanted = written['builtinUpstreams'] !== false;
  written['upstreams'] = isBuiltinWanted ? withBuiltins(listed) : listed;
  const chosen = chooseDefault(written['upstreams'] as Plain, env, problems);
  written['upstreams'] = chosen.upstreams;
  const builtin = new Set(
    Object.keys(chosen.upstreams).filter((key) => !Object.hasOwn(listed, key) && key !== chosen.key),
  );

  const byVariable = new Map(variables.set.map(({ key }) => [pathText(key.path), key.name]));
  const originOf = (at: Path): Origin => {
    const [room, key = '', leaf] = at;
    const name = byVariable.get(pathText(at));
    if (name !== undefined) return { kind: 'variable', name };
    const isChosen = room === 'upstreams' && key === chosen.key && (leaf === 'default' || !Object.hasOwn(listed, key));
    if (isChosen) return { kind: 'variable', name: defaultUpstreamVariable };
    if (room === 'upstreams' && builtin.has(key)) return { kind: 'builtin' };
    if (file === undefined) return { kind: 'default' };
    return { kind: 'file', file, line: document?.lineOf(at) };
  };

  // 4. Every key by itself, then all of them together.
  for (const { path: at, value, isKeyUnknown, problem } of misplaced) {
    problems.push({ origin: originOf(at), path: at, found: isKeyUnknown ? undefined : showValue(at, value), problem });
  }
  const settings = parseSettings(written, (at, value, problem) => {
    problems.push({ origin: originOf(at), path: at, found: showValue(at, value), problem });
  });
  for (const { path: at, value, problem } of findContradictions(settings, place).filter((found) =>
    isNew(found, problems),
  )) {
    problems.push({ origin: originOf(at), path: at, found: showValue(at, value), problem });
  }
  if (problems.length > 0) return { kind: 'problems', problems: inOrder(problems) };
  return { kind: 'config', config: resolveConfig(settings, builtin, place), written, originOf };
}

function readDocument(file: string, isFromVariable: boolean, place: Place): ParsedDocument {
  const read = readText(absolute(file, place));
  if ('text' in read) return parseYaml(read.text, file);
  const origin: Origin = isFromVariable
    ? { kind: 'variable', name: configVariable }
    : { kind: 'file', file, line: undefined };
  const found = isFromVariable ? showValue([], file) : undefined;
  return { value: undefined, lineOf: () => undefined, problems: [{ origin, path: [], found, problem: read.problem }] };
}

function chooseDefault(
  upstreams: Plain,
  env: Env,
  problems: ConfigProblem[],
): { readonly upstreams: Plain; readonly key: string | undefined } {
  const address = env[defaultUpstreamVariable] ?? '';
  if (address === '') return { upstreams, key: undefined };
  const chosen = withDefaultUpstream(upstreams, address);
  if ('key' in chosen) return chosen;
  const origin: Origin = { kind: 'variable', name: defaultUpstreamVariable };
  problems.push({ origin, path: [], found: showValue([], address), problem: chosen.problem });
  return { upstreams, key: undefined };
}

const mostPasses = 20;

/**
 * Checks each key. One that is wrong is reported and left out, so that what is left can be checked as a whole: a person
 * gets all problems in one go.
 */
function parseSettings(written: Plain, report: (path: Path, value: unknown, problem: string) => void): Settings {
  const rest: Plain = structuredClone(written);
  const reported = new Set<string>();
  // Each pass takes at least one value away. A missing key takes its group, so a few passes do for any file.
  for (let pass = 0; pass < mostPasses; pass += 1) {
    const parsed = v.safeParse(configSchema, rest);
    if (parsed.success) return parsed.output;
    for (const issue of parsed.issues) {
      const path = (issue.path ?? []).map(({ key }) => String(key));
      const isMissing = issue.type === 'strict_object' && issue.received === 'undefined';
      if (!reported.has(pathText(path)))
        report(path, issue.input, isMissing ? `missing; ${pathText(path.slice(0, -1))} needs it` : issue.message);
      reported.add(pathText(path));
      // A group is nothing without a key that it needs, and a list is checked as one value.
      const isInList = issue.path?.some((item) => item.type === 'array') === true;
      removeAt(rest, isMissing || isInList ? path.slice(0, -1) : path);
    }
  }
  throw new TypeError(`the schema refuses what is left: ${[...reported].join(', ')}`);
}

/** Not a consequence of something that was reported at the same place, below it, or beside it in its group. */
function isNew({ path, other }: Contradiction, problems: readonly ConfigProblem[]): boolean {
  const isUpstream = path.length === 2 && path[0] === 'upstreams';
  const group = isUpstream ? path : path.slice(0, -1);
  return !problems.some(
    (problem) => startsWith(problem.path, group) || (other !== undefined && startsWith(problem.path, other)),
  );
}

function startsWith(path: Path, start: Path): boolean {
  return start.every((key, index) => path[index] === key);
}

/** As in the file, then the variables. */
function inOrder(problems: readonly ConfigProblem[]): ConfigProblem[] {
  const line = ({ origin }: ConfigProblem): number =>
    origin.kind === 'file' ? (origin.line ?? 0) : Number.MAX_SAFE_INTEGER;
  return problems.toSorted((a, b) => line(a) - line(b));
}
