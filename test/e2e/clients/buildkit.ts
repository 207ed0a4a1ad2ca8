/** BuildKit: a build that runs a program of its base image, which buildkitd.toml has it fetch from weir. */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Artifact } from '../content/seed.ts';
import { Daemon, run } from '../process.ts';
import { needed } from '../tools.ts';
import { printIdentity } from './buildah.ts';
import { hashBlobs, referenceOf, type By, type Client, type Pulled, type Session, type Site } from './client.ts';

/** A mirror with a path, which BuildKit puts behind `/v2`. */
function mirrorWithPath({ weir, upstream }: Site): string {
  return `[registry."${upstream.name}"]
mirrors = ["${weir}/${upstream.name}"]
[registry."${weir}"]
http = true
`;
}

/** Without it BuildKit keeps records of builds as content, which would stay after `prune`. */
const noHistory = '[history]\nmaxEntries = 0\n';

class BuildkitSession implements Session {
  readonly #site: Site;
  readonly #directory: string;
  readonly #daemon: Daemon;

  private constructor(site: Site, directory: string, daemon: Daemon) {
    this.#site = site;
    this.#directory = directory;
    this.#daemon = daemon;
  }

  static async open(site: Site, registries: string): Promise<BuildkitSession> {
    const directory = site.workspace.directory('buildkit');
    const config = join(directory, 'buildkitd.toml');
    writeFileSync(config, `${registries}\n${noHistory}`);
    const options = Object.entries({
      '--config': config,
      '--root': join(directory, 'root'),
      '--addr': `unix://${join(directory, 'b.sock')}`,
      '--otel-socket-path': join(directory, 'otel.sock'),
      '--oci-worker-binary': site.tools.runc,
      '--oci-worker-net': 'host',
      '--oci-worker-snapshotter': 'overlayfs',
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
    return (await run(needed(this.#site.tools, 'buildctl'), [...address, ...args])).stdout;
  }

  async pull(artifact: Artifact, by: By): Promise<Pulled> {
    await this.wipe();
    const context = this.#site.workspace.directory('build');
    try {
      const build = ['/bin/sh', '-c', `(${printIdentity}) > /out/built`];
      const base = `${this.#site.upstream.name}/${referenceOf(artifact, by)}`;
      const lines = [
        `FROM ${base} AS base`,
        'WORKDIR /out',
        `RUN ${JSON.stringify(build)}`,
        'FROM scratch',
        'COPY --from=base /out /',
      ];
      writeFileSync(join(context, 'Dockerfile'), `${lines.join('\n')}\n`);
      const out = join(context, 'out');
      mkdirSync(out);
      const source = ['--local', `context=${context}`, '--local', `dockerfile=${context}`];
      const output = ['--output', `type=local,dest=${out}`, '--progress', 'plain'];
      await this.command(['build', '--frontend', 'dockerfile.v0', ...source, ...output]);
      // Among what BuildKit stores is the manifest that it resolved the name to.
      const blobs = await hashBlobs(this.#content);
      return { digests: blobs, blobs, said: readFileSync(join(out, 'built'), 'utf8').trim() };
    } finally {
      this.#site.workspace.remove(context);
    }
  }

  get #content(): string {
    return join(this.#directory, 'root', 'runc-overlayfs', 'content', 'blobs', 'sha256');
  }

  /** Prunes everything; no content may be left afterwards. */
  private async wipe(): Promise<void> {
    await this.command(['prune', '--all']);
    const left = existsSync(this.#content) ? readdirSync(this.#content) : [];
    if (left.length > 0) throw new Error(`BuildKit kept ${left.join(' ')}`);
  }

  async close(): Promise<void> {
    await this.#daemon.stop();
    this.#site.workspace.remove(this.#directory);
  }
}

export const buildkitPrograms = ['buildkitd', 'buildctl', 'runc'] as const satisfies Client['programs'];

/** With the file that `weir setup buildkit` writes. */
export async function openBuildkit(site: Site): Promise<Session> {
  const written = join(site.settings, 'etc', 'buildkit', 'buildkitd.toml');
  return BuildkitSession.open(site, readFileSync(written, 'utf8'));
}

export const buildkit: Client = {
  name: 'BuildKit',
  programs: buildkitPrograms,
  upstreams: ['dist3.test', 'dist2.test'],
  kinds: ['image', 'index'],
  platforms: 'amd64',
  open: async (site) => BuildkitSession.open(site, mirrorWithPath(site)),
};
