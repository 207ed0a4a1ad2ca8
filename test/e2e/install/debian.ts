/** Installing packages of Debian 12. */
import { chmodSync, existsSync, rmSync, writeFileSync } from 'node:fs';
import { run } from '../process.ts';

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

export async function debianVersion(packageName: string): Promise<string | undefined> {
  try {
    return (await run('dpkg-query', ['-W', '-f', '${Version}', packageName])).stdout;
  } catch {
    return undefined; // not installed
  }
}
