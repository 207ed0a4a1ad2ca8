/** containerd by `ctr --hosts-dir`: Debian's 1.6 and the current 2.x, each with a daemon of its own. */
import { writeFileSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import type { Artifact } from '../content/seed.ts';
import { cleanEnvironment, Daemon, run } from '../process.ts';
import type { Tools } from '../tools.ts';
import { hashBlobs, referenceOf, type By, type Client, type Pulled, type Session, type Site } from './client.ts';

interface Version {
  readonly name: string;
  readonly daemon: keyof Tools & `containerd${string}`;
  readonly ctr: keyof Tools & `ctr${string}`;
  readonly configuration: (directory: string) => string;
}

const paths = (directory: string): string => `root = "${join(directory, 'root')}"
state = "${join(directory, 'state')}"
`;

/** containerd 2 without its CRI. */
const current = (directory: string): string => `version = 3
${paths(directory)}disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime"]
[grpc]
address = "${join(directory, 'c.sock')}"
`;

const versions: readonly Version[] = [
  {
    name: 'containerd 1.6',
    daemon: 'containerd1',
    ctr: 'ctr1',
    configuration: (directory) => `version = 2
${paths(directory)}disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
address = "${join(directory, 'c.sock')}"
`,
  },
  {
    name: 'containerd 2',
    daemon: 'containerd2',
    ctr: 'ctr2',
    configuration: current,
  },
];

/** The current one fetching each layer by ranges that are open-ended and that it leaves, three at a time. */
export const parallelContainerd: Version = {
  name: 'containerd 2 in parallel',
  daemon: 'containerd2',
  ctr: 'ctr2',
  configuration: (directory) => `${current(directory)}[plugins."io.containerd.transfer.v1.local"]
max_concurrent_downloads = 3
concurrent_layer_fetch_buffer = 2097152
`,
};

/** Below `/`, where `weir setup` puts hosts.toml. */
export const certsDirectory = join('etc', 'containerd', 'certs.d');

export class CtrSession implements Session {
  readonly #site: Site;
  readonly #directory: string;
  readonly #ctr: string;
  readonly #daemon: Daemon;
  #containers = 0;

  private constructor(site: Site, directory: string, ctr: string, daemon: Daemon) {
    this.#site = site;
    this.#directory = directory;
    this.#ctr = ctr;
    this.#daemon = daemon;
  }

  static async open(site: Site, version: Version): Promise<CtrSession> {
    const directory = site.workspace.directory('ctr');
    const config = join(directory, 'config.toml');
    writeFileSync(config, version.configuration(directory));
    const program = site.tools[version.daemon];
    // containerd looks for its shim and runc on the PATH: for 2.x the shim of the same version must be found first.
    const shims = version.daemon === 'containerd2' ? dirname(site.tools.shim2) : dirname(program);
    const env = cleanEnvironment({ PATH: [shims, dirname(site.tools.runc), '/usr/bin', '/bin'].join(delimiter) });
    const daemon = new Daemon(version.name, program, ['--config', config], join(directory, 'containerd.log'), env);
    const session = new CtrSession(site, directory, site.tools[version.ctr], daemon);
    await daemon.ready(async () =>
      session.command(['version']).then(
        () => true,
        () => false, // not listening yet
      ),
    );
    return session;
  }

  async command(args: readonly string[]): Promise<string> {
    const address = ['--address', join(this.#directory, 'c.sock')];
    return (await run(this.#ctr, [...address, ...args], { timeoutMs: 300_000 })).stdout.trim();
  }

  async pull(artifact: Artifact, by: By): Promise<Pulled> {
    await this.wipe();
    const name = `${this.#site.upstream.name}/${referenceOf(artifact, by)}`;
    const hosts = this.#hosts;
    const isImage = artifact.kind === 'image' || artifact.kind === 'index';
    await this.command([...(isImage ? ['images', 'pull'] : ['content', 'fetch']), ...hosts, name]);
    const listed = await this.command(['images', 'ls', `name==${name}`]);
    const blobs = await this.blobs();
    const digests = listed.match(/sha256:[0-9a-f]{64}/g) ?? [];
    if (!isImage) return { digests, blobs };
    this.#containers += 1;
    return { digests, blobs, said: await this.command(['run', '--rm', name, `e2e-${this.#containers}`]) };
  }

  /** Pulls an image that need not run, whatever its platform. */
  async fetch(name: string): Promise<void> {
    await this.command(['images', 'pull', ...this.#hosts, '--all-platforms', name]);
  }

  /** Digests of all that is stored, each hashed by us. */
  async blobs(): Promise<readonly string[]> {
    return hashBlobs(join(this.#directory, 'root', 'io.containerd.content.v1.content', 'blobs', 'sha256'));
  }

  get #hosts(): readonly string[] {
    return ['--hosts-dir', join(this.#site.settings, certsDirectory)];
  }

  /** Removes every image and waits for the collection of its content; containerd itself must list nothing then. */
  private async wipe(): Promise<void> {
    const names = (await this.command(['images', 'ls', '-q'])).split('\n').filter((name) => name !== '');
    if (names.length > 0) await this.command(['images', 'rm', '--sync', ...names]);
    const content = await this.command(['content', 'ls', '-q']);
    if (content !== '') throw new Error(`containerd kept content:\n${content}`);
  }

  async close(): Promise<void> {
    await this.#daemon.stop();
    this.#site.workspace.remove(this.#directory);
  }
}

export const containerds: readonly Client[] = versions.map((version) => ({
  name: 'containerd',
  setup: 'containerd',
  programs: [version.daemon, version.ctr, 'runc'],
  kinds: ['image', 'index', 'artifact', 'large'],
  platforms: 'amd64',
  open: async (site) => CtrSession.open(site, version),
}));
