/**
 * Compares what was written with the tree of keys: keys that do not exist, and values where a group belongs. valibot
 * would stop at the first unknown key of each group, take a list for a group, and skip `constructor` silently. Gives back
 * a clean copy that holds known keys only, so that everything else can be checked in the same go.
 */
import { keyProblem } from './addresses.ts';
import { closest } from '../values/suggest.ts';
import { type Node, type Path, pathText } from '../values/tree.ts';

export interface Misplaced {
  readonly path: Path;
  readonly value: unknown;
  readonly isKeyUnknown: boolean;
  readonly problem: string;
}

export type Plain = { [key: string]: unknown };

export function keepKnown(
  tree: Node,
  written: unknown,
): { readonly kept: Plain; readonly problems: readonly Misplaced[] } {
  const problems: Misplaced[] = [];
  const allPaths = pathsOf(tree);
  const kept = clean(tree, written, []);
  return { kept: isPlain(kept) ? kept : {}, problems };

  function clean(node: Node, value: unknown, path: Path): unknown {
    if (node.kind === 'leaf') return value;
    if (node.kind === 'list') return value ?? [];
    // `ghcr.io:` with nothing behind it, or a group whose keys are all commented out.
    if (value === null || value === undefined) return {};
    if (!isPlain(value)) {
      problems.push({ path, value, isKeyUnknown: false, problem: 'write a group of keys here' });
      return {};
    }
    const copy: Plain = {};
    for (const [key, item] of Object.entries(value)) {
      const below = node.kind === 'map' ? node.value : node.entries.get(key);
      const badKey = node.kind === 'map' ? keyProblem(key) : undefined;
      if (badKey !== undefined) {
        problems.push({ path: [...path, key], value: item, isKeyUnknown: true, problem: badKey });
      } else if (below === undefined) {
        problems.push({
          path: [...path, key],
          value: item,
          isKeyUnknown: true,
          problem: unknownKey(node, path, key, allPaths),
        });
      } else {
        copy[key] = clean(below, item, [...path, key]);
      }
    }
    return copy;
  }
}

export function isPlain(value: unknown): value is Plain {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Uint8Array);
}

/** Where people put a secret itself. */
const secretKeys: ReadonlyMap<string, string> = new Map([
  ['password', 'passwordFile (a path) or passwordEnv (the name of a variable)'],
  ['secret', 'passwordFile (a path) or passwordEnv (the name of a variable)'],
  ['identitytoken', 'identityTokenFile (a path) or identityTokenEnv (the name of a variable)'],
  ['token', 'tokenFile or identityTokenFile (a path)'],
]);

function unknownKey(node: Node, path: Path, key: string, allPaths: readonly Path[]): string {
  const instead = secretKeys.get(key.toLowerCase());
  if (instead !== undefined) return `secrets are not written into the configuration; use ${instead}`;
  const siblings = node.kind === 'group' ? [...node.entries.keys()] : [];
  const meant = closest(key, siblings);
  if (meant !== undefined) return `unknown key; did you mean ${pathText([...path, meant])}?`;
  if (path.length === 0 && /[.:]/.test(key)) return `unknown key; an upstream belongs below upstreams`;
  const elsewhere = allPaths.find((known) => known.at(-1)?.toLowerCase() === key.toLowerCase());
  if (elsewhere !== undefined) return `unknown key here; did you mean ${pathText(elsewhere)}?`;
  return `unknown key; known here: ${siblings.join(', ')}`;
}

function pathsOf(node: Node, path: Path = []): Path[] {
  const own = path.length === 0 ? [] : [path];
  if (node.kind === 'group')
    return [...own, ...[...node.entries].flatMap(([key, entry]) => pathsOf(entry, [...path, key]))];
  return node.kind === 'map' ? [...own, ...pathsOf(node.value, [...path, '<name>'])] : own;
}
