import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { jsonSchemaText, referenceText } from '../../config/generate.ts';
import { configTree, configVariables, loadConfig } from '../../src/config/load.ts';
import { formatProblem } from '../../src/config/read/problem.ts';
import type { Node } from '../../src/config/values/tree.ts';

const root = resolve(import.meta.dirname, '../..');
const read = (path: string): string => readFileSync(join(root, path), 'utf8');
const dir = mkdtempSync(join(tmpdir(), 'weir-examples-'));
afterAll(() => rmSync(dir, { recursive: true }));

/** Every key, with `*` for the name of an upstream. */
function keysOf(node: Node, path = ''): string[] {
  const below = (key: string, next: Node): string[] => keysOf(next, path === '' ? key : `${path}.${key}`);
  switch (node.kind) {
    case 'group':
      return [path, ...[...node.entries].flatMap(([key, entry]) => below(key, entry))];
    case 'map':
      return [path, ...below('*', node.value)];
    case 'list':
    case 'leaf':
      return [path];
  }
}
const allKeys = keysOf(configTree);

/** The same for a file. */
function pathsIn(value: unknown, path: readonly string[] = []): string[] {
  const own = path.map((key, index) => (index === 1 && path[0] === 'upstreams' ? '*' : key)).join('.');
  const isMap = typeof value === 'object' && value !== null && !Array.isArray(value);
  return [own, ...(isMap ? Object.entries(value).flatMap(([key, item]) => pathsIn(item, [...path, key])) : [])];
}

interface JsonSchema {
  readonly description?: string;
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly additionalProperties?: false | JsonSchema;
}

describe('what is generated', () => {
  it('is current; if not, run npm run schema', () => {
    expect(read('config/weir.schema.json')).toBe(jsonSchemaText());
    expect(read('docs/configuration.md')).toBe(referenceText());
  });

  it('the JSON Schema knows every key, says what it means and allows no other', () => {
    const seen: string[] = [];
    const walk = (schema: JsonSchema, path: string): void => {
      seen.push(path);
      if (path !== '' && !path.endsWith('*')) expect(schema.description, path).toMatch(/.{10,}/);
      const at = (key: string): string => (path === '' ? key : `${path}.${key}`);
      for (const [key, below] of Object.entries(schema.properties ?? {})) walk(below, at(key));
      if (schema.properties !== undefined) expect(schema.additionalProperties, path).toBe(false);
      if (typeof schema.additionalProperties === 'object') walk(schema.additionalProperties, at('*'));
    };
    walk(JSON.parse(jsonSchemaText()) as JsonSchema, '');
    expect(seen.toSorted()).toEqual(allKeys.toSorted());
    expect(seen.length).toBeGreaterThan(50);
    expect(jsonSchemaText()).not.toContain('x-weir');
  });

  it('the reference names every key and every variable', () => {
    const text = referenceText();
    for (const key of allKeys) {
      const written = key.replace(/^upstreams\.\*\.?/, '');
      if (written !== '') expect(text, key).toMatch(new RegExp(`\`${written}\`|^### ${written}$|^## Upstreams$`, 'm'));
    }
    for (const { name } of configVariables) expect(text).toContain(`| \`${name}\` |`);
  });
});

describe('the examples', () => {
  it.each(['config/weir.example.yaml', 'config/weir.minimal.yaml'])('%s loads', (path) => {
    const loaded = loadConfig({ path: join(root, path), env: {}, cwd: dir });
    expect(loaded.kind === 'problems' ? loaded.problems.map(formatProblem) : []).toEqual([]);
  });

  it('the annotated one says the defaults', () => {
    const example = loadConfig({ path: join(root, 'config/weir.example.yaml'), env: {}, cwd: dir });
    const zero = loadConfig({ env: {}, cwd: dir });
    if (example.kind !== 'config' || zero.kind !== 'config') throw new Error('both load');
    const { upstreams: _, prefetch, ...rest } = example.config;
    const { upstreams: __, prefetch: zeroPrefetch, ...zeroRest } = zero.config;
    expect(rest).toEqual(zeroRest);
    expect({ ...prefetch, platforms: [] }).toEqual(zeroPrefetch);
  });

  it('the annotated one names every key, and with all of them set only the files and variables are missing', () => {
    const path = join(dir, 'all.yaml');
    const uncommented = read('config/weir.example.yaml').replaceAll(
      /^( *)#( *[a-zA-Z]+:(?: |$).*)$/gm,
      (line, indent: string, rest: string) =>
        rest.startsWith(' ') && !rest.startsWith('  ') ? line : `${indent}${rest}`,
    );
    writeFileSync(path, uncommented);
    const loaded = loadConfig({ path, env: {}, cwd: dir });
    if (loaded.kind === 'config') throw new Error('the files do not exist');
    const unexpected = loaded.problems
      .map(formatProblem)
      .filter(
        (line) =>
          !/there is no such file|variable of that name is not set|is not on the PATH|not both|write one of: a user name/.test(
            line,
          ),
      );
    expect(unexpected).toEqual([]);
    expect(loaded.problems.length).toBeGreaterThan(5);
    const named = new Set(pathsIn(parse(uncommented)));
    expect(allKeys.filter((key) => !named.has(key))).toEqual([]);
  });
});
