/** What is wrong with a configuration, where it was written, and how that is said: one line, no secrets. */
import { maskUserInfo } from '../schema/addresses.ts';
import { pathText, type Path } from '../values/tree.ts';

export type Origin =
  | { readonly kind: 'file'; readonly file: string; readonly line: number | undefined }
  | { readonly kind: 'variable'; readonly name: string }
  | { readonly kind: 'builtin' }
  | { readonly kind: 'default' };

export interface ConfigProblem {
  readonly origin: Origin;
  /** Of the key; empty for the file or the variable as a whole. */
  readonly path: Path;
  /** The value as it may be shown; undefined when there is none or it may not be shown. */
  readonly found: string | undefined;
  /** What is wrong, or what to write instead. */
  readonly problem: string;
}

/** `weir.yaml:12: cache.maxSize: found "10G": write 10GB …` */
export function formatProblem({ origin, path, found, problem }: ConfigProblem): string {
  const parts = [
    origin.kind === 'default' ? '' : formatOrigin(origin),
    pathText(path),
    found === undefined ? '' : `found ${found}`,
    problem,
  ];
  return parts
    .filter((part) => part !== '')
    .map(oneLine)
    .join(': ');
}

export function formatOrigin(origin: Origin): string {
  switch (origin.kind) {
    case 'file':
      return origin.line === undefined ? origin.file : `${origin.file}:${origin.line}`;
    case 'variable':
      return origin.name;
    case 'builtin':
      return 'built-in';
    case 'default':
      return 'default';
  }
}

const longestShown = 80;

/**
 * The value for a message. Below `auth` people write secrets where names belong, so only what is no secret by its key
 * is shown there; a URL loses its user and password.
 */
export function showValue(path: Path, value: unknown): string | undefined {
  if (value === undefined) return undefined;
  const authAt = path.indexOf('auth');
  const key = path.at(-1);
  if (authAt >= 0 && !(key === 'username' || key === 'helper' || key?.endsWith('File') === true)) return undefined;
  if (value === null) return 'nothing';
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object') return 'a group of keys';
  const text = typeof value === 'string' ? JSON.stringify(maskUserInfo(value)) : scalarText(value);
  return text.length <= longestShown ? text : `${text.slice(0, longestShown)}…`;
}

function scalarText(value: unknown): string {
  return typeof value === 'number' || typeof value === 'boolean' ? String(value) : `a ${typeof value}`;
}

/** Control characters and invisible direction marks must not reach a terminal or split a log line. */
export function oneLine(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, (char) => `\\u{${char.codePointAt(0)?.toString(16) ?? ''}}`);
}
