/** The YAML file as plain values, with the line of each. Whatever YAML could mean in two ways is a problem. */
import { isMap, isScalar, LineCounter, parseDocument } from 'yaml';
import type { ConfigProblem } from './problem.ts';
import type { Path } from '../values/tree.ts';

export interface ParsedDocument {
  /** Maps are objects without a prototype's keys; undefined for an empty file or one that could not be read. */
  readonly value: unknown;
  /** Line of the key, or of the nearest parent that was written; from 1. */
  lineOf(path: Path): number | undefined;
  readonly problems: readonly ConfigProblem[];
}

/** Far more than any configuration; finding duplicate keys takes the parser quadratic time. */
const longestText = 128 * 1024;
/** Uses of anchors in one file. A few share a block; a bomb needs thousands. */
const mostAliases = 100;
const mostProblems = 20;

export function parseYaml(text: string, file: string): ParsedDocument {
  const problem = (message: string, line?: number): ConfigProblem => ({
    origin: { kind: 'file', file, line },
    path: [],
    found: undefined,
    problem: message,
  });
  const failed = (problems: readonly ConfigProblem[]): ParsedDocument => ({
    value: undefined,
    lineOf: () => undefined,
    problems,
  });
  if (text.length > longestText) return failed([problem('the file is larger than 128 KiB')]);

  const lines = new LineCounter();
  // `silent` would also keep quiet about a second document.
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, logLevel: 'error' });
  const faults = [...document.errors, ...document.warnings];
  if (faults.length > 0) {
    // One brace that is missing makes hundreds of faults; one nesting bomb as many of its own kind.
    const isDeep = faults.some((fault) => fault.code === 'RESOURCE_EXHAUSTION');
    if (isDeep) return failed([problem('nested too deeply')]);
    const shown = faults.slice(0, mostProblems);
    return failed(shown.map((fault) => problem(inWords(fault.code, fault.message), lines.linePos(fault.pos[0]).line)));
  }
  const lineOf = (path: Path): number | undefined => {
    let node: unknown = document.contents;
    let offset: number | undefined;
    for (const key of path) {
      if (!isMap(node)) break;
      const pair = node.items.find((item) => isScalar(item.key) && String(item.key.value) === key);
      if (pair === undefined) break;
      if (isScalar(pair.key)) offset = pair.key.range?.[0] ?? offset;
      node = pair.value;
    }
    return offset === undefined ? undefined : lines.linePos(offset).line;
  };
  try {
    const value: unknown = document.toJS({ maxAliasCount: mostAliases });
    return { value, lineOf, problems: [] };
  } catch (error) {
    // The library throws ReferenceError for aliases that multiply, and for ones without an anchor.
    if (!(error instanceof ReferenceError)) throw error;
    const isBomb = error.message.startsWith('Excessive alias count');
    const hint = isBomb
      ? 'anchors and aliases that multiply'
      : 'an alias (*…) without its anchor; put a text that begins with * in quotes';
    return failed([problem(hint)]);
  }
}

function inWords(code: string, message: string): string {
  switch (code) {
    case 'DUPLICATE_KEY':
      return 'the same key is written twice';
    case 'TAB_AS_INDENT':
      return 'a tab is used for indentation; use spaces';
    case 'MULTIPLE_DOCS':
      return 'there is more than one document (---) in the file';
    case 'TAG_RESOLVE_FAILED':
      return 'a tag (!…) that is not known here; put a text that begins with ! in quotes';
    case 'BAD_DIRECTIVE':
      return 'a directive (%…) that is not known here';
    default:
      // Behind a colon the library quotes the file, which may hold what a message must not.
      return message.replace(/: .*$/s, '');
  }
}
