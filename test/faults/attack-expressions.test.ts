/**
 * Every regular expression in `src`, found by the compiler's own parser, is judged by a checker of the field: none may cost
 * more than the length of what it reads.
 */
import { resolve } from 'node:path';
import { SyntaxKind, type Node } from 'typescript/unstable/ast';
import { API } from 'typescript/unstable/sync';
import { describe, expect, it } from 'vitest';

const root = resolve(import.meta.dirname, '../..');
const source = `${root}/src/`;

interface Found {
  /** As it is written: `/…/flags`. */
  readonly expressions: ReadonlyMap<string, string>;
  /** What is built at run time, as it is written. */
  readonly built: readonly string[];
  readonly files: number;
}

function findAll(): Found {
  const expressions = new Map<string, string>();
  const built: string[] = [];
  const api = new API({ cwd: root });
  try {
    const [project] = api.updateSnapshot({ openProject: `${root}/tsconfig.build.json` }).getProjects();
    const files = (project?.program.getSourceFileNames() ?? []).filter((name) => name.startsWith(source));
    for (const name of files) {
      const file = project?.program.getSourceFile(name);
      const visit = (node: Node): void => {
        if (node.kind === SyntaxKind.RegularExpressionLiteral) expressions.set(node.getText(file), name);
        const isCall = node.kind === SyntaxKind.NewExpression || node.kind === SyntaxKind.CallExpression;
        if (isCall && /^(new )?RegExp\([^)]*\)$/.test(node.getText(file))) built.push(node.getText(file));
        node.forEachChild(visit);
      };
      if (file !== undefined) visit(file);
    }
    return { expressions, built, files: files.length };
  } finally {
    api.close();
  }
}

type Check = (
  source: string,
  flags: string,
  options: { readonly timeout: number },
) => Promise<{ readonly status: string; readonly complexity?: { readonly type: string } | undefined }>;

/** Its own types are not asked for: what is checked is this repository, also where it is not installed. */
async function loadCheck(): Promise<Check> {
  const checker: string = 'recheck';
  return ((await import(checker)) as { readonly check: Check }).check;
}

async function judge(check: Check, written: string): Promise<string> {
  const end = written.lastIndexOf('/');
  const { status, complexity } = await check(written.slice(1, end), written.slice(end + 1), { timeout: 60_000 });
  return status === 'safe' ? 'linear' : `${status} ${complexity?.type ?? ''}`;
}

describe('the regular expressions of src', () => {
  const { expressions, built, files } = findAll();

  it('are all found', () => {
    expect(files).toBeGreaterThan(200);
    expect(expressions.size).toBeGreaterThan(100);
  });

  it('are built at run time only from patterns of the configuration that are judged here', () => {
    expect(built.toSorted()).toEqual([
      'new RegExp(keyPattern)',
      'new RegExp(pattern)',
      'new RegExp(percentPattern)',
      'new RegExp(platformPattern)',
      "new RegExp(unsafe, 'gu')",
    ]);
  });

  it('cost no more than the length of what they read', { timeout: 600_000 }, async () => {
    const check = await loadCheck();
    // The checker itself: the expression that once read whole heads.
    const whole = String.raw`/^(GET|HEAD) (\/v2\/[!-~]*) HTTP\/1\.1\r\n((?:[A-Za-z0-9-]+: *[ -~]*\r\n)+)\r\n$/`;
    expect(await judge(check, whole)).toBe('vulnerable exponential');
    const wrong: string[] = [];
    for (const [written, file] of expressions) {
      const verdict = await judge(check, written);
      if (verdict !== 'linear') wrong.push(`${file.slice(source.length)}: ${written}: ${verdict}`);
    }
    expect(wrong).toEqual([]);
  });
});
