/** What the documents say can be checked: links, commands, variables, metrics, rooms and examples. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { dirname, join, relative, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { configVariables, loadConfig } from '../src/config/load.ts';
import { Metrics } from '../src/metrics/metrics.ts';
import { tempDirectory } from './support/temp.ts';

const root = resolve(import.meta.dirname, '..');
const documents = [
  ...readdirSync(root).filter((name) => name.endsWith('.md')),
  ...readdirSync(join(root, 'docs')).map((name) => join('docs', name)),
];

function read(name: string): string {
  return readFileSync(join(root, name), 'utf8');
}

/** The fenced blocks of a document. */
function fences(text: string): readonly { readonly language: string; readonly body: string }[] {
  return [...text.matchAll(/^ *```(\w*)\n([\s\S]*?)^ *```$/gm)].map(([, language = '', body = '']) => ({
    language,
    body,
  }));
}

/** The anchors that GitHub makes of headings. */
function anchorsOf(text: string): readonly string[] {
  const withoutFences = text.replaceAll(/^ *```[\s\S]*?^ *```$/gm, '');
  return [...withoutFences.matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  );
}

function found(pattern: RegExp): readonly { readonly name: string; readonly match: string }[] {
  return documents.flatMap((name) =>
    [...read(name).matchAll(pattern)].map((match) => ({ name, match: match[1] ?? '' })),
  );
}

describe('the documents', () => {
  it('are all there', () => {
    expect(documents.toSorted()).toEqual([
      'CHANGELOG.md',
      'CONTRIBUTING.md',
      'README.md',
      'docs/architecture.md',
      'docs/clients.md',
      'docs/commands.md',
      'docs/configuration.md',
      'docs/conformance.md',
      'docs/life-of-a-blob.md',
      'docs/operations.md',
      'docs/security.md',
    ]);
  });

  it('begin, in the README, with the two commands', () => {
    const [first, second] = fences(read('README.md'));
    expect(first?.body).toBe('npm ci && npm start\n');
    expect(second?.body).toBe('npm ci && npm test\n');
  });

  it('have no marks of a merge that was left half done', () => {
    expect(documents.filter((name) => /^(?:<{7}|={7}|>{7})/m.test(read(name)))).toEqual([]);
  });

  it('name, for every promise of security.md, tests that exist', () => {
    const [, promises = ''] = read('docs/security.md').split(/^## Promises$/m);
    const rows = (promises.split(/^## /m)[0] ?? '')
      .split('\n')
      .filter((line) => line.startsWith('| '))
      .slice(2);
    expect(rows.length).toBeGreaterThan(15);
    const testsOf = (row: string): readonly string[] =>
      [...(row.split('|').at(-2) ?? '').matchAll(/`([^`]+)`/g)].map(([, path = '']) => path);
    expect(rows.filter((row) => testsOf(row).length === 0)).toEqual([]);
    expect(rows.flatMap(testsOf).filter((path) => !existsSync(join(root, path)))).toEqual([]);
  });

  it('explain words, in architecture.md, that are names in the source', () => {
    const [, words = ''] = read('docs/architecture.md').split(/^## Words$/m);
    const explained = [...(words.split(/^## /m)[0] ?? '').matchAll(/\*\*([^*]+)\*\*/g)].map(([, word = '']) => word);
    expect(explained.length).toBeGreaterThan(30);
    const files = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' }).filter((name) =>
      name.endsWith('.ts'),
    );
    // As names, and as parts of names: `isSuspect`, `ManifestRecord`.
    const source = files.map((name) =>
      readFileSync(join(root, 'src', name), 'utf8').replaceAll(/\/\*.*?\*\/|\/\/.*/gs, ''),
    );
    const names = new Set(source.flatMap((text) => text.match(/[A-Za-z]+/g) ?? []));
    const parts = new Set(
      [...names].flatMap((name) => [name, ...name.split(/(?=[A-Z])/)].map((one) => one.toLowerCase())),
    );
    expect(explained.filter((word) => !parts.has(word.toLowerCase()))).toEqual([]);
  });

  it('link to files and headings that exist', () => {
    const links = found(/\]\(([^)\s]+)\)/g).filter(({ match }) => !/^[a-z]+:/.test(match));
    expect(links.length).toBeGreaterThan(20);
    const broken = links.filter(({ name, match }) => {
      const [path = '', anchor] = match.split('#');
      const target = path === '' ? name : join(dirname(name), path);
      if (!existsSync(join(root, target))) return true;
      return anchor !== undefined && !anchorsOf(read(target)).includes(anchor);
    });
    expect(broken).toEqual([]);
  });

  it('name npm scripts that exist', () => {
    const { scripts } = JSON.parse(read('package.json')) as { readonly scripts: Readonly<Record<string, string>> };
    const named = found(/\bnpm run (?:-s )?([\w:]+)/g);
    expect(named.length).toBeGreaterThan(5);
    expect(named.filter(({ match }) => !(match in scripts))).toEqual([]);
  });

  it('name variables that exist', () => {
    const known = new Set(['WEIR_CONFIG', 'WEIR_DEFAULT_UPSTREAM', ...configVariables.map(({ name }) => name)]);
    const named = found(/\b(WEIR_[A-Z0-9_]*[A-Z0-9])\b/g).filter(({ match }) => !/^WEIR_(SERVICE|PORT)$/.test(match));
    expect(named.length).toBeGreaterThan(20);
    expect(named.filter(({ match }) => !known.has(match))).toEqual([]);
  });

  it('name every metric, and none that does not exist', async () => {
    const storeUsage = (): { bytes: number; blobs: number; metadataBytes: number; unreadable: number } => ({
      bytes: 0,
      blobs: 0,
      metadataBytes: 0,
      unreadable: 0,
    });
    const metrics = new Metrics({ version: '0', upstreams: ['lab'], storeUsage, isProcessMeasured: false });
    const { body } = await metrics.render();
    const exist = [...body.matchAll(/^# HELP (\w+)/gm)].map(([, name = '']) => name);
    expect(exist.length).toBeGreaterThan(10);
    const rows = read('docs/operations.md').matchAll(/^\| `(weir_\w+)`/gm);
    expect([...rows].map(([, name = '']) => name).toSorted()).toEqual(exist.toSorted());
    const series = new Set(exist.flatMap((name) => [name, `${name}_bucket`, `${name}_count`, `${name}_sum`]));
    // Beginnings of names, as in a pattern for grep, are none.
    const named = found(/\b(weir_[a-z_]*[a-z])\b/g);
    expect(named.filter(({ match }) => !series.has(match))).toEqual([]);
  });

  it('name every folder of the source', () => {
    const entries = readdirSync(join(root, 'src'), { withFileTypes: true, recursive: true });
    const folders = new Set(
      entries.filter((entry) => entry.isFile()).map(({ parentPath }) => relative(join(root, 'src'), parentPath)),
    );
    folders.delete('');
    expect(folders.size).toBeGreaterThan(40);
    const text = read('docs/architecture.md');
    expect([...folders].filter((folder) => !text.includes(`| \`${folder}/\` `))).toEqual([]);
    const named = [...text.matchAll(/^\| `([a-z0-9/]+)\/` /gm)].map(([, folder]) => folder ?? '');
    expect(named.filter((folder) => !folders.has(folder))).toEqual([]);
  });

  it('show configurations that weir accepts', async () => {
    await using temp = await tempDirectory();
    const path = temp.file('weir.yaml');
    const examples = documents
      .flatMap((name) => fences(read(name)))
      .filter(({ language, body }) => language === 'yaml' && /^# weir\.yaml$/m.test(body));
    expect(examples.length).toBeGreaterThan(0);
    for (const { body } of examples) {
      await writeFile(path, body);
      const loaded = loadConfig({ path, env: {}, cwd: temp.path });
      const problems = loaded.kind === 'config' ? [] : loaded.problems.map(({ problem }) => problem);
      // Secrets of the reader's machine are not on this one.
      expect(problems.filter((problem) => problem !== 'there is no such file')).toEqual([]);
    }
  });
});
