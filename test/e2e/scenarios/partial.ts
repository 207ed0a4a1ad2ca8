/** podman pulls layers in zstd:chunked in parts: of a new version of an image only the files that it does not have yet. */
import { createHash } from 'node:crypto';
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Podman } from '../clients/podman.ts';
import { registriesConf } from '../clients/simple.ts';
import { CheckError, type Phase } from '../report.ts';
import { blobTransfers, type LoggedRequest } from '../request-log.ts';
import type { Seeded, Stage } from '../stage.ts';
import type { Weir } from '../weir.ts';
import { playPhases } from './phases.ts';

const repository = 'lab/chunked';
const fileBytes = 250_000;
const fileCount = 80;
/** What a connection between two processes of one machine takes ahead of its reader, at most (Linux: tcp_wmem and tcp_rmem). */
const connectionBytes = 10 * 1024 * 1024;
/** Every fifth file is another one in the second version, so that what is missing lies all over the layer. */
const isChanged = (index: number): boolean => index % 5 === 2;

interface Version {
  readonly tag: string;
  readonly layers: readonly { readonly digest: string; readonly size: number }[];
  /** What a container of it prints. */
  readonly says: string;
}

/** The row that it fills. */
export function partialRow(versions: ReadonlyMap<string, string>, upstream: string): string {
  return `podman ${versions.get('podman') ?? ''} with zstd:chunked @ ${upstream}`;
}

export async function playPartial(stage: Stage, seeded: Seeded): Promise<void> {
  const { report, versions, workspace } = stage;
  const row = partialRow(versions, seeded.upstream.name);
  const made: Version[] = [];
  const isMade = await report.check(`${row}: podman pushes two versions of an image`, async () => {
    const directory = workspace.directory('chunked');
    try {
      for (const tag of ['1', '2']) made.push(await push(stage, seeded, directory, tag));
    } finally {
      workspace.remove(directory);
    }
  });
  if (!isMade) return report.empty(row, 'there is no image in zstd:chunked');
  await playPhases(stage, {
    row,
    seeded,
    act: (weir) => pullInParts(stage, seeded, weir, made),
    cost: (phase, requests) => onceEach(phase, requests, made),
  });
  return undefined;
}

/** Both versions into one empty storage: each in parts, the second one without what the first one brought. */
async function pullInParts(
  { tools, workspace }: Stage,
  { upstream }: Seeded,
  weir: Weir,
  versions: readonly Version[],
): Promise<string> {
  const [directory, settings] = [workspace.directory('podman'), workspace.directory('settings')];
  const options = 'pull_options = {enable_partial_images = "true", use_hard_links = "false", ostree_repos = ""}';
  try {
    await weir.setUp('podman', settings);
    const registries = registriesConf({ tools, workspace, weir: weir.host, upstream, settings });
    const podman = new Podman(tools, directory, readFileSync(registries, 'utf8'), options);
    const missing: number[] = [];
    for (const { tag, layers, says } of versions) {
      const image = `${upstream.name}/${repository}:${tag}`;
      const log = await podman.logOf(['pull', image]);
      for (const { digest } of layers) {
        if (!log.includes(`Retrieved partial blob ${digest}`)) throw new CheckError(`not in parts: ${digest}\n${log}`);
      }
      missing.push(Number(/Missing [0-9]+ bytes out of [0-9]+ \(([0-9.]+) %\)/.exec(log)?.[1]));
      const said = await podman.runImage(image);
      if (said !== says) throw new CheckError(`a container of version ${tag} prints ${said}`);
    }
    const [, second = NaN] = missing;
    if (!(second < 30)) throw new CheckError(`of the second version ${second} % were missing`);
    return `${missing.map((percent) => `${percent} %`).join(' and ')} of the layers fetched`;
  } finally {
    workspace.remove(directory);
    workspace.remove(settings);
  }
}

/**
 * Cold, a layer leaves the upstream once, however many parts the client asked for. Where a transfer of everything had begun
 * for nobody yet, the parts end it early, and what lies in the buffers of that one connection is sent twice.
 */
function onceEach(phase: Phase, requests: readonly LoggedRequest[], versions: readonly Version[]): void {
  if (phase !== 'cold') return;
  for (const { digest, size } of versions.flatMap(({ layers }) => layers)) {
    const { sizeBytes = NaN } = blobTransfers(requests, digest);
    if (sizeBytes >= size && sizeBytes <= size + connectionBytes) continue;
    throw new CheckError(`${sizeBytes} bytes were sent of layer ${digest}, which has ${size}`);
  }
}

async function push(
  { tools, workspace }: Stage,
  { upstream }: Seeded,
  directory: string,
  tag: string,
): Promise<Version> {
  const [tree, file] = [join(directory, `tree-${tag}`), join(directory, `Dockerfile-${tag}`)];
  mkdirSync(join(tree, 'data'), { recursive: true });
  copyFileSync(tools.busybox, join(tree, 'busybox'));
  const names = Array.from({ length: fileCount }, (_, index) => `/data/${String(index).padStart(3, '0')}`);
  const sums = names.map((name, index) => {
    const bytes = noise(`${workspace.root} ${index} ${isChanged(index) ? tag : ''}`);
    writeFileSync(join(tree, name), bytes);
    return `${createHash('sha256').update(bytes).digest('hex')}  ${name}`;
  });
  writeFileSync(file, `FROM scratch\nCOPY . /\nCMD ${JSON.stringify(['/busybox', 'sha256sum', ...names])}\n`);
  const podman = new Podman(tools, join(directory, `podman-${tag}`));
  const image = `localhost/chunked:${tag}`;
  await podman.build(tree, file, image, []);
  const at = `${upstream.host}/${repository}:${tag}`;
  const how = ['--tls-verify=false', '--format', 'oci', '--compression-format', 'zstd:chunked'];
  await podman.command(['push', ...how, image, `docker://${at}`]);
  const answer = await fetch(`http://${upstream.host}/v2/${repository}/manifests/${tag}`, {
    headers: { Accept: 'application/vnd.oci.image.manifest.v1+json' },
  });
  const { layers } = (await answer.json()) as Pick<Version, 'layers'>;
  return { tag, layers, says: sums.join('\n') };
}

/** Bytes that do not compress, always the same for one seed. */
function noise(seed: string): Buffer {
  return createHash('shake256', { outputLength: fileBytes }).update(seed).digest();
}
