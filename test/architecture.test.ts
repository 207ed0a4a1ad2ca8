/**
 * The floors of docs/architecture.md, enforced: imports point down only, rooms on one floor do not know each other, and
 * each outside dependency lives in the rooms that own it. Reads import lines; runs nothing.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';

const root = resolve(import.meta.dirname, '..');
const src = join(root, 'src');

/** The folders of src/, lowest first. A file imports from its own folder and from those before it. */
const floors: readonly string[] = [
  'lib',
  'lib/files',
  'lib/json',
  'lib/sharing',
  'lib/threads',
  'headers',
  'oci',
  'config/values',
  'config/schema',
  'config/read',
  'config',
  'routing',
  'store/contract',
  'store/files',
  'store/root',
  'store/sqlite',
  'store/metadata',
  'store/blobs',
  'store/ingest',
  'store/disk',
  'store/layout',
  'store/recovery',
  'store',
  'upstream/contract',
  'upstream/network',
  'upstream/exchange',
  'upstream/health',
  'upstream/worker',
  'upstream/limits',
  'upstream/credentials',
  'upstream/auth',
  'upstream/requests',
  'upstream',
  'fill/contract',
  'fill/space',
  'fill/worker',
  'fill/attempt',
  'fill/download',
  'fill/schedule',
  'fill/readers',
  'fill',
  'cache/contract',
  'cache/freshness',
  'cache/visibility',
  'cache/manifests',
  'cache/lists',
  'cache/blobs',
  'cache/prefetch',
  'cache',
  'cache/threads',
  'http/request',
  'http/listener',
  'http/body',
  'http/v2',
  'http/hot',
  'admin',
  'metrics',
  'serving',
  'cli/frame',
  'cli/setup/contract',
  'cli/setup/files',
  'cli/setup/programs',
  'cli/setup',
  'cli/doctor',
  'cli/commands',
  'cli',
  'daemon',
];
/** Files directly under src/ know every room. */
const top = floors.length;

/** Where each outside module may be imported. An entry is a room or a file below src/. */
const allowedIn: Readonly<Record<string, readonly string[]>> = {
  hono: ['admin'],
  '@hono/node-server': ['admin'],
  undici: ['upstream'],
  'prom-client': ['metrics'],
  pino: ['daemon/daemon.ts'],
  valibot: ['config'],
  yaml: ['config'],
  koffi: ['http'],
  'lru-cache': ['lib', 'store', 'upstream', 'fill', 'cache', 'http'],
  'node:sqlite': ['store'],
  'node:fs': [
    'store',
    'upstream',
    'transfer',
    'config',
    'dashboard',
    'http/body/body.ts',
    'lib',
    'fill/worker/worker.ts',
    'cli/setup/files/place.ts',
    'serving/worker.ts',
  ],
};

interface Import {
  readonly file: string;
  readonly specifier: string;
}

function sourceFiles(dir: string): string[] {
  return readdirSync(dir, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => join(dir, name));
}

const files = sourceFiles(src);

function importsOf(path: string): Import[] {
  const text = readFileSync(path, 'utf8');
  const pattern =
    /(?:^|\n)\s*(?:import|export)\s[^;'"]*?from\s*['"]([^'"]+)['"]|import\(\s*['"]([^'"]+)['"]\s*\)|(?:^|\n)\s*import\s*['"]([^'"]+)['"]/g;
  return [...text.matchAll(pattern)].map((match) => ({
    file: path,
    specifier: match[1] ?? match[2] ?? match[3] ?? '',
  }));
}

const imports = files.flatMap(importsOf);

function roomOf(path: string): string {
  const parts = relative(src, path).split('/');
  return parts.length === 1 ? '' : (parts[0] ?? '');
}

function folderOf(path: string): string {
  return relative(src, dirname(path));
}

function floor(path: string): number {
  const folder = folderOf(path);
  if (folder === '') return top;
  const found = floors.indexOf(folder);
  if (found === -1) throw new Error(`${relative(root, path)}: the folder "${folder}" has no floor`);
  return found;
}

function packageName(specifier: string): string {
  if (specifier === 'node:fs/promises') return 'node:fs';
  if (specifier.startsWith('node:')) return specifier;
  const parts = specifier.split('/');
  return specifier.startsWith('@') ? parts.slice(0, 2).join('/') : (parts[0] ?? specifier);
}

function isAllowed(file: string, places: readonly string[]): boolean {
  const name = relative(src, file);
  return places.some((place) => name === place || name.startsWith(`${place}/`));
}

describe('architecture', () => {
  it('sees the whole source tree', () => {
    expect(files.length).toBeGreaterThan(20);
    expect(imports.length).toBeGreaterThan(40);
    expect(new Set(files.map(roomOf)).size).toBeGreaterThanOrEqual(9);
  });

  it('imports point down', () => {
    const wrong = imports
      .filter(({ specifier }) => specifier.startsWith('.'))
      .map(({ file, specifier }) => ({ file, target: resolve(dirname(file), specifier) }))
      .filter(({ file, target }) => {
        if (!target.startsWith(src)) return true;
        return floor(target) > floor(file);
      })
      .map(({ file, target }) => `${relative(src, file)} -> ${relative(src, target)}`);
    expect(wrong).toEqual([]);
  });

  it('outside modules stay in their rooms', () => {
    const wrong = imports
      .filter(({ file, specifier }) => {
        const places = allowedIn[packageName(specifier)];
        return places !== undefined && !isAllowed(file, places);
      })
      .map(({ file, specifier }) => `${relative(src, file)} imports ${specifier}`);
    expect(wrong).toEqual([]);
  });

  it('every runtime dependency has a room', () => {
    const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
      dependencies: Record<string, string>;
      optionalDependencies: Record<string, string>;
    };
    const names = Object.keys({ ...manifest.dependencies, ...manifest.optionalDependencies });
    expect(names.length).toBeGreaterThan(5);
    for (const name of names) expect(allowedIn, name).toHaveProperty([name]);
  });

  it('process.env is read in config only, and console is used in cli/output only', () => {
    const wrong = files.filter((file) => {
      const text = readFileSync(file, 'utf8');
      const usesEnv = /process\.env\b/.test(text) && roomOf(file) !== 'config';
      const usesConsole = /\bconsole\./.test(text) && relative(src, file) !== 'cli/frame/output.ts';
      return usesEnv || usesConsole;
    });
    expect(wrong.map((file) => relative(src, file))).toEqual([]);
  });

  it('JSON of others is read within bounds', () => {
    const parsers = files
      .filter((file) => readFileSync(file, 'utf8').includes('JSON.parse('))
      .map((file) => relative(src, file));
    expect(parsers.toSorted()).toEqual(
      [
        'lib/json/long.ts',
        // The files of whoever calls the command.
        'cli/setup/files/merge.ts',
        // Our own package.json.
        'config/version.ts',
        'lib/json/json.ts',
        // Says what is wrong, behind the same look ahead.
        'oci/manifest.ts',
      ].toSorted(),
    );
  });

  it('no folder has more than 14 files', () => {
    const counts = Map.groupBy(files, folderOf);
    const full = [...counts].filter(([, inside]) => inside.length > 14).map(([folder]) => folder);
    expect(full).toEqual([]);
    expect(floors.filter((folder) => !counts.has(folder))).toEqual([]);
  });

  it('no file is longer than 250 lines', () => {
    const long = files
      .map((file) => ({ file: relative(src, file), lines: readFileSync(file, 'utf8').split('\n').length - 1 }))
      .filter(({ lines }) => lines > 250);
    expect(long).toEqual([]);
  });
});
