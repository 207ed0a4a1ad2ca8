/** podman: pulls through a mirror of registries.conf, then runs what it pulled with runc. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { cleanEnvironment, run } from '../process.ts';
import type { Tools } from '../tools.ts';
import { referenceOf, type Client } from './client.ts';
import { registriesConf } from './simple.ts';

/** A podman with storage, state and configuration of its own below one directory. */
export class Podman {
  readonly #program: string;
  readonly #global: readonly string[];
  readonly #env: NodeJS.ProcessEnv;

  /** `storage`: lines of storage.conf's `[storage.options]`. */
  constructor(tools: Tools, directory: string, registries = 'unqualified-search-registries = []\n', storage = '') {
    const config = join(directory, 'registries.conf');
    const storageConfig = join(directory, 'storage.conf');
    const policy = join(directory, 'policy.json');
    mkdirSync(directory, { recursive: true });
    writeFileSync(config, registries);
    const [root, runroot] = [join(directory, 'root'), join(directory, 'run')];
    const places = `driver = "overlay"\ngraphroot = "${root}"\nrunroot = "${runroot}"`;
    writeFileSync(storageConfig, `[storage]\n${places}\n[storage.options]\n${storage}\n`);
    writeFileSync(policy, JSON.stringify({ default: [{ type: 'insecureAcceptAnything' }] }));
    this.#program = tools.podman;
    this.#global = Object.entries({
      '--root': root,
      '--runroot': runroot,
      '--tmpdir': join(directory, 'tmp'),
      '--storage-driver': 'overlay',
      '--cgroup-manager': 'cgroupfs',
      '--events-backend': 'none',
      '--runtime': tools.runc,
      '--log-level': 'error',
    }).flat();
    this.#env = cleanEnvironment({
      CONTAINERS_REGISTRIES_CONF: config,
      CONTAINERS_STORAGE_CONF: storageConfig,
      TMPDIR: directory,
    });
  }

  /** Runs one podman command and answers its standard output. */
  async command(args: readonly string[], timeoutMs = 120_000): Promise<string> {
    const { stdout } = await run(this.#program, [...this.#global, ...args], { env: this.#env, timeoutMs });
    return stdout.trim();
  }

  /** Runs one podman command and answers what it logged meanwhile, the smallest things included. */
  async logOf(args: readonly string[], timeoutMs = 120_000): Promise<string> {
    const verbose = [...this.#global, '--log-level', 'debug', ...args];
    const { stderr } = await run(this.#program, verbose, { env: this.#env, timeoutMs });
    return stderr;
  }

  /** Builds an image from a Dockerfile. Docker's format, because OCI's has no place for a health check. */
  async build(context: string, file: string, image: string, flags: readonly string[]): Promise<void> {
    const fixed = ['--format', 'docker', '--isolation', 'chroot', '--network', 'host', '--pull=never'];
    await this.command(['build', ...fixed, '--file', file, '--tag', image, ...flags, context], 600_000);
  }

  /** Runs a container of an image to its end, without a network, and answers what it printed. */
  async runImage(image: string): Promise<string> {
    return this.command(['run', '--rm', '--network', 'none', '--pull', 'never', ...smallLimits, image]);
  }
}

/** podman asks for more open files than a container of the suite itself may be allowed to hand out. */
export const smallLimits = ['--ulimit', 'nofile=1024:4096', '--ulimit', 'nproc=1024:1024'] as const;

export const podman: Client = {
  name: 'podman',
  setup: 'podman',
  programs: ['podman', 'runc'],
  kinds: ['image', 'index'],
  platforms: 'amd64',
  open: async (site) => ({
    pull: async (artifact, by) => {
      const directory = site.workspace.directory('podman');
      try {
        const instance = new Podman(site.tools, directory, readFileSync(registriesConf(site), 'utf8'));
        const image = `${site.upstream.name}/${referenceOf(artifact, by)}`;
        await instance.command(['pull', '--quiet', image]);
        const names = await instance.command(['image', 'inspect', '--format', '{{json .RepoDigests}}', image]);
        const digests = (JSON.parse(names) as readonly string[]).map((name) => name.split('@')[1] ?? name);
        return { digests, said: await instance.runImage(image) };
      } finally {
        site.workspace.remove(directory);
      }
    },
    close: async () => {},
  }),
};
