/** Building programs from the package registries of Go, Python, npm and Rust, each into a directory of its own. */
import { mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { run } from '../process.ts';
import type { BuiltProgram, GoProgram } from '../programs.ts';
import { gatherHeaders } from './headers.ts';

/** Throws unless a Go tool that can fetch newer toolchains by itself (1.21 and later) is on the PATH. */
async function needGo(): Promise<void> {
  const { stdout } = await run('go', ['env', 'GOVERSION'], { env: process.env });
  const [, minor] = /^go1\.(\d+)/.exec(stdout) ?? [];
  if (minor === undefined || Number(minor) < 21) throw new Error(`Go 1.21 or later is needed, not ${stdout.trim()}`);
}

/** A build shares the machine with whoever else works there. */
const nice = ['-n', '5'] as const;

/** Half of two cores, and nothing of a cgo toolchain unless asked for. */
const goEnvironment = (hasCgo = false): NodeJS.ProcessEnv => ({
  ...process.env,
  CGO_ENABLED: hasCgo ? '1' : '0',
  GOFLAGS: '-trimpath -p=2',
  GOTOOLCHAIN: 'auto',
});

/** Builds into a fresh directory and moves it into place: an interrupted build leaves nothing that looks finished. */
async function buildInto(directory: string, build: (scratch: string) => Promise<unknown>): Promise<void> {
  mkdirSync(dirname(directory), { recursive: true });
  const scratch = mkdtempSync(join(dirname(directory), '.building-'));
  try {
    await build(scratch);
    rmSync(directory, { recursive: true, force: true });
    renameSync(scratch, directory);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

async function installGo(program: GoProgram, scratch: string, timeoutMs: number): Promise<void> {
  await needGo();
  const env: NodeJS.ProcessEnv = { ...goEnvironment(program.hasCgo), GOBIN: scratch };
  const headers = join(scratch, 'headers');
  if (program.headers !== undefined) {
    await gatherHeaders(program.headers, headers);
    env['CGO_CXXFLAGS'] = `-O2 -I${join(headers, 'include')}`;
  }
  const wanted = `${program.package}@${program.version}`;
  if (program.isReplaced !== true) {
    await run('nice', [...nice, 'go', 'install', wanted], { env, timeoutMs });
    rmSync(headers, { recursive: true, force: true });
    return;
  }
  // Replacements and exclusions count in the main module only (Go modules reference, "go.mod: replace directive").
  const consumer = join(scratch, 'consumer');
  mkdirSync(consumer);
  const options = { cwd: consumer, env, timeoutMs };
  await run('go', ['mod', 'init', 'consumer'], options);
  await run('go', ['get', wanted], options);
  await run('nice', [...nice, 'go', 'build', '-o', `${scratch}/`, program.package], options);
  rmSync(consumer, { recursive: true });
}

async function fill(program: BuiltProgram, scratch: string, timeoutMs: number): Promise<void> {
  const { package: name, version } = program;
  const options = { env: process.env, timeoutMs };
  switch (program.from) {
    case 'go':
      return installGo(program, scratch, timeoutMs);
    case 'pypi': {
      const flags = ['--quiet', '--no-input', '--disable-pip-version-check', '--no-compile', '--target', scratch];
      await run('python3', ['-m', 'pip', 'install', ...flags, `${name}==${version}`], options);
      return;
    }
    case 'npm': {
      const flags = ['--no-save', '--no-audit', '--no-fund', '--prefix', scratch];
      await run('npm', ['install', ...flags, `${name}@${version}`], { ...options, cwd: scratch });
      return;
    }
    case 'cargo': {
      const flags = ['--locked', '--root', scratch, '--version', version];
      await run('nice', [...nice, 'cargo', 'install', ...flags, name], options);
    }
  }
}

/** Builds one program of the table into `directory`; throws a CommandError after `timeoutMs`. */
export async function buildProgram(program: BuiltProgram, directory: string, timeoutMs: number): Promise<void> {
  await buildInto(directory, (scratch) => fill(program, scratch, timeoutMs));
}

/** Builds a main package of a Go module of this repository into `directory`. */
export async function buildOwnProgram(moduleDirectory: string, source: string, directory: string): Promise<void> {
  await needGo();
  await buildInto(directory, (scratch) =>
    run('nice', [...nice, 'go', 'build', '-o', `${scratch}/`, source], {
      cwd: moduleDirectory,
      env: goEnvironment(),
      timeoutMs: 900_000,
    }),
  );
}
