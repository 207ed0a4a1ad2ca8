/** What is published: the package as npm packs it, and its compiled code on its own. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { copyFile, symlink } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { configVariables } from '../src/config/load.ts';
import { eventually } from './support/gate.ts';
import { type TempDirectory, tempDirectory } from './support/temp.ts';

const root = resolve(import.meta.dirname, '..');
const run = promisify(execFile);
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  readonly version: string;
  readonly bin: { readonly weir: string };
  readonly dependencies: Readonly<Record<string, string>>;
  readonly optionalDependencies: Readonly<Record<string, string>>;
  readonly devDependencies: Readonly<Record<string, string>>;
};
const dockerfile = readFileSync(join(root, 'Dockerfile'), 'utf8');

describe('the package', () => {
  it('holds compiled code, documents and examples, and nothing else', async () => {
    const { stdout } = await run('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], { cwd: root });
    const packed = (JSON.parse(stdout) as readonly [{ readonly files: readonly { readonly path: string }[] }])[0];
    const paths = packed.files.map(({ path }) => path).filter((path) => !path.startsWith('dist/'));
    const allowed = /^(LICENSE|package\.json|(README|CHANGELOG)\.md|docs\/[\w-]+\.md|config\/weir\.[\w.]+)$/;
    expect(paths.length).toBeGreaterThanOrEqual(10);
    expect(paths.filter((path) => !allowed.test(path))).toEqual([]);
  });

  it('depends on exact versions', () => {
    const { dependencies, optionalDependencies, devDependencies } = manifest;
    const versions = Object.entries({ ...dependencies, ...optionalDependencies, ...devDependencies });
    expect(versions.length).toBeGreaterThan(10);
    expect(versions.filter(([, version]) => !/^\d+\.\d+\.\d+$/.test(version))).toEqual([]);
  });
});

describe('the compiled code', () => {
  let temp: TempDirectory;
  let program: string;

  beforeAll(async () => {
    temp = await tempDirectory('package');
    const tsc = join(root, 'node_modules', '.bin', 'tsc');
    await run(tsc, ['-p', join(root, 'tsconfig.build.json'), '--outDir', temp.file('dist')], { cwd: root });
    await copyFile(join(root, 'package.json'), temp.file('package.json'));
    await symlink(join(root, 'node_modules'), temp.file('node_modules'));
    program = temp.file(manifest.bin.weir);
  }, 120_000);
  afterAll(() => temp[Symbol.asyncDispose]());

  it('is all of the source', () => {
    const sources = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' }).filter((name) =>
      name.endsWith('.ts'),
    );
    expect(sources.length).toBeGreaterThan(100);
    const missing = sources.filter((name) => !existsSync(temp.file('dist', name.replace(/\.ts$/, '.js'))));
    expect(missing).toEqual([]);
  });

  it('can be run by its name, and knows its version', async () => {
    expect(readFileSync(program, 'utf8').split('\n')[0]).toBe('#!/usr/bin/env node');
    const { stdout } = await run(process.execPath, [program, '--version']);
    expect(stdout).toBe(`${manifest.version}\n`);
  });

  it('serves, is healthy by the check of the container image, and stops with 0', async () => {
    const [, check = ''] = /^HEALTHCHECK .* CMD (\[.*\])$/m.exec(dockerfile) ?? [];
    const [, ...checkArgs] = JSON.parse(check) as readonly string[];
    const isHealthy = (admin: string): Promise<boolean> =>
      run(process.execPath, checkArgs, { env: { WEIR_ADMIN_LISTEN: admin } }).then(
        () => true,
        () => false,
      );
    const env = { WEIR_LISTEN: '127.0.0.1:0', WEIR_ADMIN_LISTEN: '127.0.0.1:0', WEIR_CACHE_ROOT: temp.file('cache') };
    const child: ChildProcess = spawn(process.execPath, [program], { env, stdio: ['ignore', 'pipe', 'inherit'] });
    const ended = once(child, 'close');
    let log = '';
    child.stdout?.setEncoding('utf8').on('data', (text: string) => (log += text));
    try {
      await eventually(
        () => log.includes('"ready at ') || child.exitCode !== null,
        () => log,
        60_000,
      );
      const [, admin = ''] = /"admin":"([^"]+)"/.exec(log) ?? [];
      expect(admin, log).toMatch(/^127\.0\.0\.1:\d+$/);
      expect(await isHealthy(admin)).toBe(true);
      child.kill('SIGTERM');
      await ended;
      expect(child.exitCode, log).toBe(0);
      expect(await isHealthy(admin)).toBe(false);
    } finally {
      child.kill('SIGKILL');
    }
  }, 120_000);
});

describe('the container image', () => {
  it('sets variables that exist', () => {
    const known = new Set(configVariables.map(({ name }) => name));
    const set = [...dockerfile.matchAll(/\b(WEIR_[A-Z_]+)=/g)].map(([, name = '']) => name);
    expect(set.toSorted()).toEqual(['WEIR_ADMIN_LISTEN', 'WEIR_CACHE_ROOT', 'WEIR_LISTEN']);
    expect(set.filter((name) => !known.has(name))).toEqual([]);
  });

  it('copies files that exist and that .dockerignore lets through', () => {
    const copied = [...dockerfile.matchAll(/^COPY (?!--from)(.*) \S+$/gm)].flatMap(([, names = '']) =>
      names.split(' '),
    );
    expect(copied.length).toBeGreaterThan(8);
    expect(copied.filter((name) => !existsSync(join(root, name)))).toEqual([]);
    const ignore = readFileSync(join(root, '.dockerignore'), 'utf8').split('\n');
    expect(copied.filter((name) => !ignore.includes(`!${name.split('/')[0]}`))).toEqual([]);
  });

  it('ends as a user that is not root', () => {
    const users = [...dockerfile.matchAll(/^USER (\S+)$/gm)].map(([, user]) => user);
    expect(users.at(-1)).toBe('65532:65532');
  });
});
