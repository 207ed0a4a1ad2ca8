/**
 * containerd 2 as a kubelet has it: by CRI, with `crictl`. One `_default` names weir for every registry there is, so
 * `ns` alone says which one is meant.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import type { Artifact } from '../content/seed.ts';
import { cleanEnvironment, Daemon, run } from '../process.ts';
import type { ProgramName } from '../programs.ts';
import { needed, type Tools } from '../tools.ts';
import type { Workspace } from '../workspace.ts';
import { hashBlobs, referenceOf, type By, type Client, type Pulled, type Session } from './client.ts';

export const criPrograms = ['containerd2', 'crictl', 'ctr2', 'shim2', 'runc'] as const satisfies readonly ProgramName[];

export interface CriOptions {
  readonly tools: Tools;
  readonly workspace: Workspace;
  /** weir's `host:port`. */
  readonly weir: string;
  /** `concurrent_layer_fetch_buffer` of the transfer service, which pulls for CRI: layers come in ranges of this size, several at once; one stream each without. */
  readonly fetchBufferBytes?: number;
  /** The image that keeps a pod's namespaces. */
  readonly sandbox?: string;
  /** Headers that hosts.toml has containerd send with each request. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** No network plugin: pods have the network of the machine. No change of its OOM scores and sysctls either. */
function configuration(
  directory: string,
  { fetchBufferBytes = 0, sandbox = 'sandbox.test/none:1' }: CriOptions,
): string {
  return `version = 3
root = "${join(directory, 'root')}"
state = "${join(directory, 'state')}"
[grpc]
address = "${join(directory, 'c.sock')}"
[plugins."io.containerd.transfer.v1.local"]
concurrent_layer_fetch_buffer = ${fetchBufferBytes}
[plugins."io.containerd.cri.v1.images".pinned_images]
sandbox = "${sandbox}"
[plugins."io.containerd.cri.v1.images".registry]
config_path = "${join(directory, 'certs.d')}"
[plugins."io.containerd.cri.v1.runtime"]
disable_apparmor = true
restrict_oom_score_adj = true
enable_unprivileged_ports = false
enable_unprivileged_icmp = false
[plugins."io.containerd.cri.v1.runtime".cni]
bin_dirs = ["${join(directory, 'cni')}"]
conf_dir = "${join(directory, 'cni')}"
[plugins."io.containerd.internal.v1.opt"]
path = "${join(directory, 'opt')}"
[plugins."io.containerd.nri.v1.nri"]
disable = true
`;
}

function hostsToml({ weir, headers = {} }: CriOptions): string {
  const lines = Object.entries(headers).map(([name, value]) => `${name} = ${JSON.stringify(value)}\n`);
  const table = lines.length === 0 ? '' : `[host."http://${weir}".header]\n${lines.join('')}`;
  // `server` is weir as well: there is no way around it, so what works worked through it.
  return `server = "http://${weir}"
[host."http://${weir}"]
capabilities = ["pull", "resolve"]
${table}`;
}

export class Cri {
  readonly directory: string;
  readonly #options: CriOptions;
  readonly #daemon: Daemon;

  private constructor(options: CriOptions, directory: string, daemon: Daemon) {
    this.#options = options;
    this.directory = directory;
    this.#daemon = daemon;
  }

  static async open(options: CriOptions): Promise<Cri> {
    const { tools, workspace } = options;
    const directory = workspace.directory('cri');
    const config = join(directory, 'config.toml');
    writeFileSync(config, configuration(directory, options));
    mkdirSync(join(directory, 'certs.d', '_default'), { recursive: true });
    writeFileSync(join(directory, 'certs.d', '_default', 'hosts.toml'), hostsToml(options));
    const socket = `unix://${join(directory, 'c.sock')}`;
    writeFileSync(
      join(directory, 'crictl.yaml'),
      `runtime-endpoint: ${socket}\nimage-endpoint: ${socket}\ntimeout: 60\n`,
    );
    // containerd looks for its shim and runc on the PATH: the shim of the same version must be found first.
    const path = [dirname(tools.shim2), dirname(tools.runc), '/usr/bin', '/bin'].join(delimiter);
    const log = join(directory, 'containerd.log');
    const env = cleanEnvironment({ PATH: path });
    const cri = new Cri(
      options,
      directory,
      new Daemon('containerd', tools.containerd2, ['--config', config], log, env),
    );
    await cri.#daemon.ready(async () =>
      cri.crictl(['version']).then(
        () => true,
        () => false, // not listening yet
      ),
    );
    return cri;
  }

  async crictl(args: readonly string[]): Promise<string> {
    const config = ['--config', join(this.directory, 'crictl.yaml')];
    const { stdout } = await run(needed(this.#options.tools, 'crictl'), [...config, ...args], { timeoutMs: 300_000 });
    return stdout.trim();
  }

  /** containerd's own client, among the images of CRI. */
  async ctr(args: readonly string[]): Promise<string> {
    const global = ['--address', join(this.directory, 'c.sock'), '--namespace', 'k8s.io'];
    return (await run(this.#options.tools.ctr2, [...global, ...args])).stdout.trim();
  }

  /** Pulls an image and answers the digests that CRI knows it by, and what containerd has stored, hashed by us. */
  async pull(name: string, flags: readonly string[] = []): Promise<Pulled> {
    await this.crictl(['pull', ...flags, name]);
    const { status } = JSON.parse(await this.crictl(['inspecti', '--output', 'json', name])) as {
      readonly status: { readonly repoDigests: readonly string[] };
    };
    const stored = join(this.directory, 'root', 'io.containerd.content.v1.content', 'blobs', 'sha256');
    return { digests: status.repoDigests.map((one) => one.split('@')[1] ?? one), blobs: await hashBlobs(stored) };
  }

  /** Removes every image; containerd itself must list no content then. */
  async wipe(): Promise<void> {
    if ((await this.crictl(['images', '--quiet'])) !== '') await this.crictl(['rmi', '--all']);
    const content = await this.ctr(['content', 'ls', '-q']);
    if (content !== '') throw new Error(`containerd kept content:\n${content}`);
  }

  async close(): Promise<void> {
    await this.#daemon.stop();
    this.#options.workspace.remove(this.directory);
  }
}

export const cri: Client = {
  name: 'containerd by CRI',
  programs: criPrograms,
  upstreams: ['dist3.test', 'crane.test'],
  kinds: ['image', 'index', 'artifact'],
  platforms: 'amd64',
  open: async (site): Promise<Session> => {
    const runtime = await Cri.open(site);
    let containers = 0;
    return {
      pull: async (artifact: Artifact, by: By): Promise<Pulled> => {
        await runtime.wipe();
        const name = `${site.upstream.name}/${referenceOf(artifact, by)}`;
        const pulled = await runtime.pull(name);
        if (artifact.says === undefined) return pulled;
        containers += 1;
        return { ...pulled, said: await runtime.ctr(['run', '--rm', name, `e2e-${containers}`]) };
      },
      close: async () => runtime.close(),
    };
  },
};
