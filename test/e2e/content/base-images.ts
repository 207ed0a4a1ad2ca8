/**
 * The base images for the repository's Dockerfile, made of Debian packages and the `node` that the lockfile pins: no
 * registry of container images is needed to build and run weir's own image.
 */
import { cpSync, existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { Podman } from '../clients/podman.ts';
import { run } from '../process.ts';
import { cacheDirectory } from '../install/cache.ts';
import type { Tools } from '../tools.ts';
import type { Workspace } from '../workspace.ts';

const repository = resolve(import.meta.dirname, '..', '..', '..');
const suite = 'bookworm';
const npmVersion = '11.19.1';
const certificates = '/etc/ssl/certs/ca-certificates.crt';

/** Debian's archive as this machine uses it, so that a mirror stays in use; undefined means debootstrap's default. */
async function archive(): Promise<string | undefined> {
  const filter = ['--format', '$(REPO_URI)', `Codename: ${suite}`, 'Component: main', 'Created-By: Packages'];
  const { stdout } = await run('apt-get', ['indextargets', ...filter]);
  return stdout
    .split('\n')
    .find((line) => line.startsWith('http'))
    ?.replace(/\/$/, '');
}

/** A minimal Debian with what Node 26 is linked against, as one tar file; kept in the cache, because debootstrap takes most of a minute. */
async function debianTar(tools: Tools, workspace: Workspace): Promise<string> {
  const directory = join(cacheDirectory, `debian-${suite}@minbase-libatomic1`);
  const tar = join(directory, 'rootfs.tar');
  if (existsSync(tar)) return tar;
  const root = join(workspace.directory('debootstrap'), 'root');
  const mirror = await archive();
  const args = ['--variant=minbase', '--include=libatomic1', suite, root, ...(mirror === undefined ? [] : [mirror])];
  await run(tools.debootstrap, args, { env: process.env, timeoutMs: 900_000 });
  for (const name of ['var/cache/apt', 'var/lib/apt/lists', 'usr/share/doc', 'usr/share/man', 'usr/share/locale']) {
    rmSync(join(root, name), { recursive: true, force: true });
  }
  mkdirSync(directory, { recursive: true });
  const unfinished = `${tar}.${process.pid}`;
  await run('tar', ['--one-file-system', '-C', root, '--exclude=./dev/*', '-cf', unfinished, '.']);
  renameSync(unfinished, tar);
  workspace.remove(root);
  return tar;
}

/** npm from the registry: Debian's own is spread over the file system and cannot be copied. */
async function npmDirectory(): Promise<string> {
  const prefix = join(cacheDirectory, `npm@${npmVersion}`);
  const directory = join(prefix, 'node_modules', 'npm');
  if (existsSync(directory)) return directory;
  mkdirSync(prefix, { recursive: true });
  await run('npm', ['install', '--prefix', prefix, '--no-save', '--no-audit', '--no-fund', `npm@${npmVersion}`], {
    env: process.env,
    cwd: prefix,
  });
  return directory;
}

/** How this machine reaches the npm registry, for the npm inside the builder image. */
async function npmConfiguration(): Promise<string> {
  const { stdout } = await run('npm', ['config', 'get', 'registry'], { env: process.env, cwd: repository });
  return `registry=${stdout.trim()}\ncafile=${certificates}\nfund=false\naudit=false\nupdate-notifier=false\n`;
}

export interface BaseImages {
  /** Debian with node and npm: the value of the build argument NODE_IMAGE. */
  readonly node: string;
  /** Debian with node alone: RUNTIME_IMAGE. */
  readonly runtime: string;
}

/** Builds both into the storage of a podman. */
export async function buildBaseImages(tools: Tools, workspace: Workspace, podman: Podman): Promise<BaseImages> {
  const context = workspace.directory('base-images');
  cpSync(await debianTar(tools, workspace), join(context, 'rootfs.tar'));
  cpSync(resolve(repository, 'node_modules/node/bin/node'), join(context, 'node'));
  cpSync(await npmDirectory(), join(context, 'npm'), { recursive: true });
  cpSync(certificates, join(context, 'ca-certificates.crt'));
  writeFileSync(join(context, 'npmrc'), await npmConfiguration());
  writeFileSync(
    join(context, 'Containerfile'),
    `FROM scratch AS runtime
ADD rootfs.tar /
COPY node /usr/local/bin/node
FROM runtime AS node
COPY npm /usr/local/lib/node_modules/npm
COPY npmrc /usr/local/etc/npmrc
COPY ca-certificates.crt ${certificates}
RUN ln -s ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm && \\
    ln -s ../lib/node_modules/npm/bin/npx-cli.js /usr/local/bin/npx && npm --version
ENV NODE_EXTRA_CA_CERTS=${certificates}
`,
  );
  const images = { runtime: 'localhost/weir-e2e-runtime:1', node: 'localhost/weir-e2e-node:1' };
  for (const [target, image] of Object.entries(images)) {
    await podman.build(context, 'Containerfile', image, ['--target', target]);
  }
  return images;
}
