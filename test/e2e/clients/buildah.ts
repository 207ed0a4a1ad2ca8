/** buildah: a build on a mirrored base image, and a container made from it, by a mirror of registries.conf. */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { cleanEnvironment, run } from '../process.ts';
import type { Tools } from '../tools.ts';
import { hashFile, referenceOf, type Client } from './client.ts';
import { eachInItsOwnDirectory } from './simple.ts';

/** What the command of one of the suite's images prints, for clients that build on it instead of running it. */
export const printIdentity =
  'if [ -e /etc/weir-e2e-platform ]; then cat /etc/weir-e2e-platform; else cat /etc/weir-e2e*; fi';

/** A registries.conf whose every registry leads nowhere but to its mirror, which is weir. */
export function mirrorsOf(weir: string, names: readonly string[]): string {
  const one = (name: string): string => `[[registry]]
prefix = "${name}"
location = "127.0.0.1:9/nowhere"
insecure = true
[[registry.mirror]]
location = "${weir}/${name}"
insecure = true
`;
  return `unqualified-search-registries = []\n${names.map(one).join('')}`;
}

/** A buildah with storage and configuration of its own below one directory. */
export class Buildah {
  readonly #program: string;
  readonly #global: readonly string[];
  readonly #env: NodeJS.ProcessEnv;

  constructor(tools: Tools, directory: string, registries: string) {
    const policy = join(directory, 'policy.json');
    const config = join(directory, 'registries.conf');
    writeFileSync(config, registries);
    writeFileSync(policy, JSON.stringify({ default: [{ type: 'insecureAcceptAnything' }] }));
    this.#program = tools.buildah;
    this.#global = Object.entries({
      '--root': join(directory, 'root'),
      '--runroot': join(directory, 'run'),
      '--storage-driver': 'overlay',
      '--log-level': 'error',
    }).flat();
    this.#env = cleanEnvironment({
      CONTAINERS_REGISTRIES_CONF: config,
      BUILDAH_ISOLATION: 'chroot',
      TMPDIR: directory,
      HOME: directory,
    });
  }

  async command(args: readonly string[]): Promise<string> {
    return (await run(this.#program, [...this.#global, ...args], { env: this.#env })).stdout.trim();
  }
}

/** Every manifest and index that containers/storage keeps with its images, hashed by us. */
async function storedManifests(images: string): Promise<readonly string[]> {
  const files = readdirSync(images, { recursive: true, encoding: 'utf8' });
  // A name that says what is in the file, in base64 behind an equals sign.
  const named = files.filter((file) => {
    const [, encoded = ''] = /\/=(.+)$/.exec(file) ?? [];
    return Buffer.from(encoded, 'base64').toString().startsWith('manifest-sha256:');
  });
  return Promise.all(named.map((file) => hashFile(join(images, file))));
}

export const buildah: Client = {
  name: 'buildah',
  programs: ['buildah'],
  upstreams: ['dist3.test', 'crane.test'],
  kinds: ['image', 'index'],
  platforms: 'amd64',
  open: async (site) =>
    eachInItsOwnDirectory(site, 'buildah', async ({ tools, weir, upstream }, directory, artifact, by) => {
      const tool = new Buildah(tools, directory, mirrorsOf(weir, [upstream.name]));
      const base = `${upstream.name}/${referenceOf(artifact, by)}`;
      const context = join(directory, 'context');
      mkdirSync(context);
      const build = ['/bin/sh', '-c', `(${printIdentity}) > /built`];
      writeFileSync(join(context, 'Containerfile'), `FROM ${base}\nRUN ${JSON.stringify(build)}\n`);
      await tool.command(['build', '--quiet', '--tag', 'localhost/built:1', context]);
      const container = await tool.command(['from', '--pull-never', 'localhost/built:1']);
      // chroot isolation loses what a command prints when the machine is busy: the file itself is looked at.
      const root = await tool.command(['mount', container]);
      const said = readFileSync(join(root, 'built'), 'utf8').trim();
      await tool.command(['umount', container]);
      return { digests: await storedManifests(join(directory, 'root', 'overlay-images')), said };
    }),
};
