/**
 * Every program the suite drives, with its pinned version and where it comes from. Missing ones are installed; what
 * cannot be had fails the run by name. Only the programs of `optional` may be absent.
 */
import { createHash } from 'node:crypto';
import { accessSync, constants, readdirSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join, resolve } from 'node:path';
import { installDebianPackages, installGoModule, installGoProgram, needGo } from './install.ts';
import { run } from './process.ts';

/** A program from Debian 12. `versions`: another one under the same name (a vendor's package) is not what is tested. */
interface DebianProgram {
  readonly path: string;
  readonly package: string;
  readonly versions: RegExp;
}

/** A main package of a published Go module, built without cgo. */
interface GoProgram {
  readonly module: string;
  readonly version: string;
}

const debian = {
  skopeo: { path: '/usr/bin/skopeo', package: 'skopeo', versions: /^1\./ },
  podman: { path: '/usr/bin/podman', package: 'podman', versions: /^4\./ },
  containerd1: { path: '/usr/bin/containerd', package: 'containerd', versions: /^1\.6\./ },
  ctr1: { path: '/usr/bin/ctr', package: 'containerd', versions: /^1\.6\./ },
  dockerd: { path: '/usr/sbin/dockerd', package: 'docker.io', versions: /^20\.10\./ },
  docker: { path: '/usr/bin/docker', package: 'docker.io', versions: /^20\.10\./ },
  distribution2: { path: '/usr/bin/docker-registry', package: 'docker-registry', versions: /^2\.8\.2/ },
  runc: { path: '/usr/sbin/runc', package: 'runc', versions: /^1\./ },
  busybox: { path: '/bin/busybox', package: 'busybox-static', versions: /^1:1\./ },
  debootstrap: { path: '/usr/sbin/debootstrap', package: 'debootstrap', versions: /^1\./ },
} as const satisfies Record<string, DebianProgram>;

const goPrograms = {
  crane: { module: 'github.com/google/go-containerregistry/cmd/crane', version: 'v0.22.1' },
  distribution3: { module: 'github.com/distribution/distribution/v3/cmd/registry', version: 'v3.1.2' },
  helm: { module: 'helm.sh/helm/v3/cmd/helm', version: 'v3.22.0' },
  containerd2: { module: 'github.com/containerd/containerd/v2/cmd/containerd', version: 'v2.4.2' },
  ctr2: { module: 'github.com/containerd/containerd/v2/cmd/ctr', version: 'v2.4.2' },
  shim2: { module: 'github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2', version: 'v2.4.2' },
} as const satisfies Record<string, GoProgram>;

/** Main packages of our own Go module, by directory. */
const ownPrograms = { orasClient: '.', referrersRegistry: './referrers-registry' } as const;

const optional = { oras: 'oras', zot: 'zot' } as const;

type Needed = keyof typeof debian | keyof typeof goPrograms | keyof typeof ownPrograms;
/** Absolute paths of programs. */
export type Tools = Readonly<Record<Needed, string>> & Readonly<Partial<Record<keyof typeof optional, string>>>;

/** Built programs are kept here by name@version, outside the tree, from one run to the next. */
export const cacheDirectory = process.env['WEIR_E2E_CACHE'] ?? join(homedir(), '.cache', 'weir-e2e');

const ownModule = resolve(import.meta.dirname, 'oras-client');

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false; // the question is only whether it can be run
  }
}

export function onPath(name: string): string | undefined {
  return (process.env['PATH'] ?? '')
    .split(delimiter)
    .map((directory) => join(directory, name))
    .find(isExecutable);
}

export async function debianVersion(packageName: string): Promise<string | undefined> {
  try {
    return (await run('dpkg-query', ['-W', '-f', '${Version}', packageName])).stdout;
  } catch {
    return undefined; // not installed
  }
}

/** The version of our own Go programs is the hash of their sources. */
function ownVersion(module: string): string {
  const hash = createHash('sha256');
  const sources = readdirSync(module, { recursive: true, encoding: 'utf8' }).filter((name) =>
    /\.go$|go\.(mod|sum)$/.test(name),
  );
  for (const name of sources.toSorted()) hash.update(name).update(readFileSync(join(module, name)));
  return hash.digest('hex').slice(0, 12);
}

type Progress = (line: string) => void;

/** A program that is built once: where it will be, and how. */
interface Built {
  readonly path: string;
  readonly build: () => Promise<void>;
}

function published({ module, version }: GoProgram): Built {
  const binary = module.split('/').at(-1) ?? module;
  const directory = join(cacheDirectory, `${binary}@${version}`);
  return { path: join(directory, binary), build: () => installGoModule(`${module}@${version}`, directory) };
}

function own(module: string, source: string, binary: string): Built {
  const directory = join(cacheDirectory, `${binary}@${ownVersion(module)}`);
  return { path: join(directory, binary), build: () => installGoProgram(module, source, directory) };
}

/** Builds it unless it is there; answers its path. */
async function prepareBuilt({ path, build }: Built, progress: Progress): Promise<string> {
  if (!isExecutable(path)) {
    const started = Date.now();
    progress(`building ${path.split('/').at(-2)} …`);
    await needGo();
    await build();
    progress(`built ${path.split('/').at(-2)} in ${((Date.now() - started) / 1000).toFixed(0)} s`);
  }
  if (!isExecutable(path)) throw new Error(`nothing at ${path} after the build`);
  return path;
}

/** One program of the table, for whoever needs no other. */
export async function prepareGoProgram(
  name: keyof typeof goPrograms,
  progress: Progress,
): Promise<{ readonly path: string; readonly version: string }> {
  const program = goPrograms[name];
  return { path: await prepareBuilt(published(program), progress), version: program.version };
}

/** The main package of a Go module of this repository. */
export async function prepareOwnProgram(module: string, binary: string, progress: Progress): Promise<string> {
  return prepareBuilt(own(module, '.', binary), progress);
}

async function findDebian(found: Map<string, string>, missing: string[], progress: Progress): Promise<void> {
  const entries = Object.entries<DebianProgram>(debian);
  const absent = entries.filter(([, { path }]) => !isExecutable(path)).map(([, program]) => program.package);
  if (absent.length > 0) await installDebianPackages([...new Set(absent)], progress);
  for (const [name, program] of entries) {
    const version = await debianVersion(program.package);
    if (!isExecutable(program.path)) missing.push(`${name} (Debian package ${program.package}, ${program.path})`);
    else if (version === undefined || !program.versions.test(version)) {
      missing.push(`${name}: ${program.path} is not Debian 12's ${program.package} but ${version ?? 'something else'}`);
    } else found.set(name, program.path);
  }
}

async function findBuilt(found: Map<string, string>, missing: string[], progress: Progress): Promise<void> {
  const wanted: readonly (readonly [string, Built])[] = [
    ...Object.entries<GoProgram>(goPrograms).map(([name, program]) => [name, published(program)] as const),
    ...Object.entries(ownPrograms).map(([name, source]) => {
      const binary = source === '.' ? 'oras-client' : source.slice(2);
      return [name, own(ownModule, source, binary)] as const;
    }),
  ];
  for (const [name, program] of wanted) {
    try {
      found.set(name, await prepareBuilt(program, progress));
    } catch (error) {
      missing.push(`${name}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
}

/** Finds or installs everything; throws an error that names every missing program. */
export async function prepareTools(progress: Progress): Promise<Tools> {
  const found = new Map<string, string>();
  const missing: string[] = [];
  await findDebian(found, missing, progress);
  await findBuilt(found, missing, progress);
  if (missing.length > 0) throw new Error(`missing programs:\n  ${missing.join('\n  ')}`);
  for (const [name, program] of Object.entries(optional)) {
    const path = onPath(program);
    if (path !== undefined) found.set(name, path);
  }
  return Object.fromEntries(found) as unknown as Tools; // every needed name was found or has thrown above
}

/** One line per program for `--list`. */
export function describeTools(): string[] {
  return [
    ...Object.entries<DebianProgram>(debian).map(([name, one]) => `${name}: Debian ${one.package}, ${one.path}`),
    ...Object.entries<GoProgram>(goPrograms).map(([name, one]) => `${name}: go install ${one.module}@${one.version}`),
    ...Object.keys(ownPrograms).map((name) => `${name}: test/e2e/oras-client`),
    ...Object.values(optional).map((name) => `${name}: used when on the PATH`),
  ];
}
