/** What becomes of a file: its text now, and what is wanted in it. Nothing that weir did not write is ever lost. */
import { type Content, isOwn } from '../contract/client-setup.ts';

export type Merged =
  | { readonly kind: 'same' }
  | { readonly kind: 'changed'; readonly text: string }
  /** Only its owner can change it; `todo` says how. */
  | { readonly kind: 'conflict'; readonly todo: string };

/** `now`: undefined where there is no file. */
export function merge(now: string | undefined, content: Content): Merged {
  switch (content.kind) {
    case 'own':
      if (now !== undefined && now.trim() !== '' && !isOwn(now))
        return conflict('somebody else wrote this file: put the text there by hand, or move the file away');
      return changedTo(now, content.text);
    case 'part':
      if (now === undefined || now.trim() === '') return changedTo(now, content.text);
      return content.isThere.test(now) ? { kind: 'same' } : conflict('weir does not edit this file: add this by hand');
    case 'json':
      return mergeJson(now, content.lists);
    case 'variables':
      return changedTo(now, withVariables(now ?? '', content.set));
  }
}

/** The text for a reader who has no such file yet. */
export function fresh(content: Content): string {
  const merged = merge(undefined, content);
  return merged.kind === 'changed' ? merged.text : '';
}

function changedTo(now: string | undefined, text: string): Merged {
  return now === text ? { kind: 'same' } : { kind: 'changed', text };
}

function conflict(todo: string): Merged {
  return { kind: 'conflict', todo };
}

/** Keeps the order of keys, everything that is not asked about, and the indentation. */
function mergeJson(now: string | undefined, lists: Readonly<Record<string, readonly string[]>>): Merged {
  const found = now === undefined || now.trim() === '' ? {} : parseObject(now);
  if (found === undefined) return conflict('this is no JSON object: repair the file first');
  const merged: Record<string, unknown> = { ...found };
  for (const [key, wanted] of Object.entries(lists)) {
    const old: unknown = found[key] ?? [];
    if (!isStrings(old)) return conflict(`${key} is no list of strings: repair the file first`);
    const missing = wanted.filter((item) => !old.some((other) => isSame(item, other)));
    if (missing.length > 0) merged[key] = [...missing, ...old];
  }
  const isSameObject = Object.keys(lists).every((key) => merged[key] === found[key]);
  if (isSameObject && now !== undefined) return { kind: 'same' };
  const [, indent = '  '] = /^\{\s*?\n([ \t]+)"/.exec(now ?? '') ?? [];
  return { kind: 'changed', text: `${JSON.stringify(merged, undefined, indent)}\n` };
}

function parseObject(text: string): Readonly<Record<string, unknown>> | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // Said by the caller, who knows the file.
    return undefined;
  }
  return isObject(value) ? value : undefined;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isStrings(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'string');
}

/** dockerd takes a mirror with and without a slash at its end for the same. */
function isSame(a: string, b: string): boolean {
  return a.replace(/\/$/, '') === b.replace(/\/$/, '');
}

function withVariables(now: string, set: Readonly<Record<string, string>>): string {
  const left = new Map(Object.entries(set));
  const lines = now.split('\n').flatMap((line) => {
    const [, name = ''] = /^\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)=/.exec(line) ?? [];
    const wanted = set[name];
    if (wanted === undefined) return [line];
    // The last one counts where a name is set twice, so there must be one.
    return left.delete(name) ? [`${name}=${wanted}`] : [];
  });
  while (lines.at(-1) === '') lines.pop();
  for (const [name, value] of left) lines.push(`${name}=${value}`);
  return `${lines.join('\n')}\n`;
}
