/** `WEIR_*` variables: which keys they set, and which of them nobody knows. */
import { isPlain, type Plain } from '../schema/known-keys.ts';
import type { ConfigProblem } from './problem.ts';
import { closest } from '../values/suggest.ts';
import { type Path, pathText, type VariableKey } from '../values/tree.ts';

export type Env = Readonly<Record<string, string | undefined>>;

/** The two that are not the name of a key. */
export const configVariable = 'WEIR_CONFIG';
export const defaultUpstreamVariable = 'WEIR_DEFAULT_UPSTREAM';

/** Kubernetes puts these into every container beside a Service named weir (`enableServiceLinks`). */
const injected = /^WEIR_(?:SERVICE_|PORT)/;
/** The same for a Service whose name only begins with weir, such as weir-admin. */
const injectedForAnother = /^WEIR_[A-Z0-9_]+_(?:SERVICE_(?:HOST|PORT)|PORT(?:_[0-9]+_(?:TCP|UDP|SCTP)|$))/;

export interface SetVariable {
  readonly key: VariableKey;
  readonly value: string | number | boolean;
}

/** Variables that are set; an empty one counts as not set, because compose files and charts write those for "nothing". */
export function readVariables(
  env: Env,
  keys: readonly VariableKey[],
): { readonly set: readonly SetVariable[]; readonly problems: readonly ConfigProblem[] } {
  const byName = new Map(keys.map((key) => [key.name, key]));
  const set: SetVariable[] = [];
  const problems: ConfigProblem[] = [];
  for (const [name, text] of Object.entries(env)) {
    if (!name.startsWith('WEIR_') || name === configVariable || name === defaultUpstreamVariable) continue;
    const key = byName.get(name);
    if (key !== undefined) {
      if (text !== undefined && text !== '') set.push({ key, value: typed(text, key) });
    } else if (!injected.test(name)) {
      problems.push({
        origin: { kind: 'variable', name },
        path: [],
        found: undefined,
        problem: unknownVariable(name, byName),
      });
    }
  }
  return { set, problems };
}

/** What the text is as YAML would have it; a text that does not fit stays one, and its key says what to write. */
function typed(text: string, { written }: VariableKey): string | number | boolean {
  if (written === 'number' && /^-?[0-9]{1,15}$/.test(text)) return Number(text);
  if (written === 'boolean') {
    if (text === 'true' || text === '1') return true;
    if (text === 'false' || text === '0') return false;
  }
  return text;
}

function unknownVariable(name: string, known: ReadonlyMap<string, VariableKey>): string {
  const meant = closest(name, [...known.keys(), configVariable, defaultUpstreamVariable]);
  if (meant !== undefined) return `unknown variable; did you mean ${meant}?`;
  if (injectedForAnother.test(name)) {
    return 'unknown variable; if Kubernetes injects it for a Service, set enableServiceLinks: false in the pod';
  }
  const rest = name.slice('WEIR_'.length).replaceAll('_', '').toLowerCase();
  const elsewhere = [...known.values()].find(({ path }) => path.at(-1)?.toLowerCase() === rest);
  if (elsewhere !== undefined) return `unknown variable; did you mean ${elsewhere.name}?`;
  return 'unknown variable; a key of an upstream can be set in a file only, and docs/configuration.md lists the others';
}

/** Puts a value at a path, making the groups on the way. */
export function setAt(target: Plain, path: Path, value: unknown): void {
  let at = target;
  for (const key of path.slice(0, -1)) {
    const below = at[key];
    const next = isPlain(below) ? below : {};
    at[key] = next;
    at = next;
  }
  const last = path.at(-1);
  if (last === undefined) throw new TypeError(`no path: ${pathText(path)}`);
  at[last] = value;
}

/** Takes a key away, where it is. */
export function removeAt(target: Plain, path: Path): void {
  let at: unknown = target;
  for (const key of path.slice(0, -1)) {
    if (!isPlain(at) && !Array.isArray(at)) return;
    at = (at as Plain)[key];
  }
  const last = path.at(-1);
  if (isPlain(at) && last !== undefined) delete at[last];
}
