/** Installing programs on Debian 12: packages by apt-get, the rest by the Go tool. */
import { chmodSync, existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { run } from './process.ts';

const guard = '/usr/sbin/policy-rc.d';

/**
 * Installs packages while no service may start: dockerd, containerd and the registry come with init scripts that would
 * open ports, and a policy-rc.d that answers 101 forbids it (invoke-rc.d(8)).
 */
export async function installDebianPackages(
  packages: readonly string[],
  progress: (line: string) => void,
): Promise<void> {
  if (process.getuid?.() !== 0) throw new Error(`root is needed to install Debian packages: ${packages.join(' ')}`);
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const isOurGuard = !existsSync(guard);
  if (isOurGuard) {
    writeFileSync(guard, '#!/bin/sh\nexit 101\n');
    chmodSync(guard, 0o755);
  }
  try {
    progress(`apt-get install ${packages.join(' ')} …`);
    await run('apt-get', ['update', '-q'], { env, timeoutMs: 300_000 });
    const install = ['install', '-y', '-q', '--no-install-recommends', ...packages];
    await run('apt-get', install, { env, timeoutMs: 900_000 });
  } finally {
    if (isOurGuard) rmSync(guard, { force: true });
  }
}

/** Throws unless a Go tool that can fetch newer toolchains by itself (1.21 and later) is on the PATH. */
export async function needGo(): Promise<void> {
  const { stdout } = await run('go', ['env', 'GOVERSION'], { env: process.env });
  const [, minor] = /^go1\.(\d+)/.exec(stdout) ?? [];
  if (minor === undefined || Number(minor) < 21) throw new Error(`Go 1.21 or later is needed, not ${stdout.trim()}`);
}

/** Half of two cores: a build shares the machine with whoever else works there. */
const buildEnvironment = (): NodeJS.ProcessEnv => ({
  ...process.env,
  CGO_ENABLED: '0',
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

/** `go install module@version` into `directory`. */
export async function installGoModule(module: string, directory: string): Promise<void> {
  await buildInto(directory, (scratch) =>
    run('nice', ['-n', '5', 'go', 'install', module], {
      env: { ...buildEnvironment(), GOBIN: scratch },
      timeoutMs: 1_800_000,
    }),
  );
}

/** Builds a main package of a Go module of this repository into `directory`. */
export async function installGoProgram(moduleDirectory: string, source: string, directory: string): Promise<void> {
  await buildInto(directory, (scratch) =>
    run('nice', ['-n', '5', 'go', 'build', '-o', `${scratch}/`, source], {
      cwd: moduleDirectory,
      env: buildEnvironment(),
      timeoutMs: 900_000,
    }),
  );
}
