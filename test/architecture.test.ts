/**
 * The floors of docs/architecture.md, enforced: imports point down only, rooms on one floor do not know each other, and
 * each outside dependency lives in the rooms that own it. Reads import lines; runs nothing.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';

const root = resolve(import.meta.dirname, '..');
const src = join(root, 'src');

const floorOf: Readonly<Record<string, number>> = {
  oci: 0,
  lib: 0,
  store: 1,
  upstream: 1,
  config: 1,
  cache: 2,
  transfer: 3,
  upkeep: 3,
  http: 4,
  dashboard: 4,
  metrics: 4,
  cli: 5,
};
/** Files directly under src/: the composition root, and thread entries that belong to it. */
const topFloor = 6;

/** Where each outside module may be imported. An entry is a room or a file below src/. */
const allowedIn: Readonly<Record<string, readonly string[]>> = {
  hono: ['http', 'dashboard'],
  '@hono/node-server': ['http', 'dashboard'],
  undici: ['upstream'],
  'prom-client': ['metrics'],
  pino: ['app.ts'],
  valibot: ['config'],
  yaml: ['config'],
  koffi: ['http'],
  'lru-cache': ['store', 'upstream', 'cache', 'http'],
  'node:sqlite': ['store'],
  'node:fs': [
    'store',
    'upstream',
    'transfer',
    'config',
    'dashboard',
    'http/body.ts',
    'lib',
    'cache/mover-worker.ts',
    'cli/setup/place.ts',
    'serve-worker.ts',
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

function floor(path: string): number {
  const room = roomOf(path);
  if (room === '') return topFloor;
  const found = floorOf[room];
  if (found === undefined) throw new Error(`${relative(root, path)}: the room "${room}" has no floor`);
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

  it('imports point down, and rooms of one floor do not import each other', () => {
    const wrong = imports
      .filter(({ specifier }) => specifier.startsWith('.'))
      .map(({ file, specifier }) => ({ file, target: resolve(dirname(file), specifier) }))
      .filter(({ file, target }) => {
        if (!target.startsWith(src)) return true;
        if (roomOf(file) === roomOf(target)) return false;
        return floor(target) >= floor(file);
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
      const usesConsole = /\bconsole\./.test(text) && relative(src, file) !== 'cli/output.ts';
      return usesEnv || usesConsole;
    });
    expect(wrong.map((file) => relative(src, file))).toEqual([]);
  });

  it('JSON of others is read within bounds', () => {
    const parsers = files
      .filter((file) => readFileSync(file, 'utf8').includes('JSON.parse('))
      .map((file) => relative(src, file));
    expect(parsers.toSorted()).toEqual([
      'cache/long-json.ts',
      // The files of whoever calls the command.
      'cli/setup/merge.ts',
      // Our own package.json.
      'config/version.ts',
      'oci/json.ts',
      // Says what is wrong, behind the same look ahead.
      'oci/manifest.ts',
    ]);
  });

  it('no file is longer than 250 lines', () => {
    const long = files
      .map((file) => ({ file: relative(src, file), lines: readFileSync(file, 'utf8').split('\n').length - 1 }))
      .filter(({ lines }) => lines > 250);
    expect(long).toEqual([]);
  });
});
