/** BuildKit: a build on a base image that `mirrors` of buildkitd.toml has it fetch from weir, by a path behind `/v2`. */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Artifact } from '../content/seed.ts';
import { Daemon, run } from '../process.ts';
import { needed } from '../tools.ts';
import { printIdentity } from './buildah.ts';
import { hashBlobs, referenceOf, type By, type Client, type Pulled, type Session, type Site } from './client.ts';

/** `history`: without it BuildKit keeps records of builds as content, which would stay after `prune`. */
function configuration({ weir, upstream, tools }: Site, directory: string): string {
  return `root = "${join(directory, 'root')}"
[grpc]
address = ["unix://${join(directory, 'b.sock')}"]
[otel]
socketPath = "${join(directory, 'otel.sock')}"
[history]
maxEntries = 0
[worker.oci]
enabled = true
snapshotter = "overlayfs"
binary = "${tools.runc}"
networkMode = "host"
gc = false
[worker.containerd]
enabled = false
[registry."${upstream.name}"]
mirrors = ["${weir}/${upstream.name}"]
[registry."${weir}"]
http = true
`;
}

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
    const config = join(directory, 'buildkitd.toml');
    writeFileSync(config, configuration(site, directory));
    const log = join(directory, 'buildkitd.log');
    const daemon = new Daemon('buildkitd', needed(site.tools, 'buildkitd'), ['--config', config], log);
    const session = new BuildkitSession(site, directory, daemon);
    await daemon.ready(async () =>
      session.command(['debug', 'workers']).then(
        () => true,
        () => false, // not listening yet
      ),
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

export const buildkit: Client = {
  name: 'BuildKit',
  programs: ['buildkitd', 'buildctl', 'runc'],
  upstreams: ['dist3.test', 'dist2.test'],
  kinds: ['image', 'index'],
  platforms: 'amd64',
  open: async (site) => BuildkitSession.open(site),
};
