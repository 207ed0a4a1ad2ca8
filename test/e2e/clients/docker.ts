/** dockerd with weir as its registry mirror: Docker Hub's names, no `ns`, then `docker run`. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Artifact } from '../content/seed.ts';
import { Daemon, run } from '../process.ts';
import { referenceOf, type By, type Client, type Pulled, type Session, type Site } from './client.ts';

/** A daemon with weir for a mirror, and the client that talks to it. */
export class DockerSession implements Session {
  readonly #site: Site;
  readonly #directory: string;
  readonly #daemon: Daemon;

  private constructor(site: Site, directory: string, daemon: Daemon) {
    this.#site = site;
    this.#directory = directory;
    this.#daemon = daemon;
  }

  static async open(site: Site): Promise<DockerSession> {
    const directory = site.workspace.directory('docker');
    const config = join(site.settings, 'etc', 'docker', 'daemon.json');
    const args = Object.entries({
      '--config-file': config,
      '--data-root': join(directory, 'data'),
      '--exec-root': join(directory, 'exec'),
      '--host': `unix://${join(directory, 'd.sock')}`,
      '--pidfile': join(directory, 'pid'),
      '--bridge': 'none',
    }).flat();
    // No bridge and no firewall rules: containers of the suite have no network, and the machine's stays as it is.
    args.push('--iptables=false', '--ip6tables=false', '--ip-forward=false', '--ip-masq=false');
    const daemon = new Daemon('dockerd', site.tools.dockerd, args, join(directory, 'dockerd.log'));
    const session = new DockerSession(site, directory, daemon);
    await daemon.ready(
      async () =>
        session.command(['version']).then(
          () => true,
          () => false, // not listening yet
        ),
      60_000,
    );
    return session;
  }

  async command(args: readonly string[]): Promise<string> {
    const host = ['--config', this.#directory, '--host', `unix://${join(this.#directory, 'd.sock')}`];
    return (await run(this.#site.tools.docker, [...host, ...args])).stdout.trim();
  }

  async pull(artifact: Artifact, by: By): Promise<Pulled> {
    await this.wipe();
    const name = referenceOf(artifact, by);
    await this.command(['pull', '--quiet', name]);
    const names = await this.command(['image', 'inspect', '--format', '{{json .RepoDigests}}', name]);
    const digests = (JSON.parse(names) as readonly string[]).map((one) => one.split('@')[1] ?? one);
    return { digests, said: await this.command(['run', '--rm', '--network', 'none', name]) };
  }

  /** Removes every image; neither the daemon nor its layer store may know one afterwards. */
  private async wipe(): Promise<void> {
    const images = (await this.command(['images', '--all', '--quiet', '--no-trunc'])).split('\n').filter(Boolean);
    if (images.length > 0) await this.command(['rmi', '--force', ...new Set(images)]);
    const left = await this.command(['images', '--all', '--quiet']);
    const layers = readdirSync(join(this.#directory, 'data', 'image', 'overlay2', 'layerdb')).includes('sha256')
      ? readdirSync(join(this.#directory, 'data', 'image', 'overlay2', 'layerdb', 'sha256'))
      : [];
    if (left !== '' || layers.length > 0) throw new Error(`dockerd kept ${left} ${layers.join(' ')}`);
  }

  async close(): Promise<void> {
    await this.#daemon.stop();
    this.#site.workspace.remove(this.#directory);
  }
}

export const dockerd: Client = {
  name: 'dockerd',
  setup: 'docker',
  programs: ['dockerd', 'docker'],
  kinds: ['image', 'index'],
  platforms: 'amd64',
  isDockerHubOnly: true,
  open: async (site) => DockerSession.open(site),
};
