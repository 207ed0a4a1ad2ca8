/** buildkitd with the file that `weir setup buildkit` writes; a build of one line brings its base image as it is. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Daemon, run } from '../process.ts';
import { needed } from '../tools.ts';
import { hashBlobs, referenceOf, type Client, type Session, type Site } from './client.ts';

class BuildkitSession implements Session {
  readonly #site: Site;
  readonly #directory: string;
  readonly #daemon: Daemon;

  private constructor(site: Site, directory: string, daemon: Daemon) {
    this.#site = site;
    this.#directory = directory;
    this.#daemon = daemon;
  }

  static async open(site: Site): Promise<BuildkitSession> {
    const directory = site.workspace.directory('buildkit');
    const options = Object.entries({
      '--config': join(site.settings, 'etc', 'buildkit', 'buildkitd.toml'),
      '--root': join(directory, 'root'),
      '--addr': `unix://${join(directory, 'b.sock')}`,
      '--oci-worker-binary': site.tools.runc,
      '--oci-worker-net': 'host',
      '--containerd-worker': 'false',
    }).map(([name, value]) => `${name}=${value}`);
    const daemon = new Daemon('buildkitd', needed(site.tools, 'buildkitd'), options, join(directory, 'buildkitd.log'));
    const session = new BuildkitSession(site, directory, daemon);
    await daemon.ready(
      async () =>
        session.command(['debug', 'workers']).then(
          () => true,
          () => false, // not listening yet
        ),
      60_000,
    );
    return session;
  }

  async command(args: readonly string[]): Promise<string> {
    const address = ['--addr', `unix://${join(this.#directory, 'b.sock')}`];
    return (await run(needed(this.#site.tools, 'buildctl'), [...address, ...args], { timeoutMs: 300_000 })).stdout;
  }

  /** Without `--no-cache`, BuildKit would not look at the registry again: `prune` forgets what it has. */
  async pull(
    artifact: Parameters<Session['pull']>[0],
    by: Parameters<Session['pull']>[1],
  ): ReturnType<Session['pull']> {
    await this.command(['prune', '--all']);
    const directory = this.#site.workspace.directory('build');
    try {
      const name = `${this.#site.upstream.name}/${referenceOf(artifact, by)}`;
      writeFileSync(join(directory, 'Dockerfile'), `FROM ${name}\nLABEL through=weir\n`);
      const source = ['--local', `context=${directory}`, '--local', `dockerfile=${directory}`];
      const target = join(directory, 'out');
      const output = [
        '--output',
        `type=oci,tar=false,dest=${target}`,
        '--metadata-file',
        join(directory, 'facts.json'),
      ];
      const flags = [
        '--frontend',
        'dockerfile.v0',
        '--opt',
        'platform=linux/amd64',
        '--no-cache',
        '--progress',
        'plain',
      ];
      await this.command(['build', ...flags, ...source, ...output]);
      const blobs = await hashBlobs(join(target, 'blobs', 'sha256'));
      return { digests: [artifact.direct.root], blobs };
    } finally {
      this.#site.workspace.remove(directory);
    }
  }

  async close(): Promise<void> {
    await this.#daemon.stop();
    this.#site.workspace.remove(this.#directory);
  }
}

export async function openBuildkit(site: Site): Promise<Session> {
  return BuildkitSession.open(site);
}

export const buildkitPrograms = ['buildkitd', 'buildctl', 'runc'] as const satisfies Client['programs'];
