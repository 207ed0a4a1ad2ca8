/** stargz-snapshotter's file system mounts a layer that weir does not have, and reads files all over it before it has come. */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { hashFile } from '../clients/client.ts';
import { run } from '../process.ts';
import { CheckError, type Phase } from '../report.ts';
import { blobTransfers, type LoggedRequest } from '../request-log.ts';
import type { Seeded, Stage } from '../stage.ts';
import { playPhases } from './phases.ts';

const repository = 'lab/estargz';
const fileBytes = 700_000;
const fileCount = 60;
/** What a program opens first is nowhere near what it opens next. */
const opened = [59, 3, 41, 20, 0, 33, 58, 11];

interface Layer {
  readonly digest: string;
  readonly sizeBytes: number;
  readonly tocDigest: string;
  /** Name to SHA-256, in hex. */
  readonly files: ReadonlyMap<string, string>;
}

/** The row that it fills. */
export function lazyRow(versions: ReadonlyMap<string, string>, upstream: string): string {
  return `stargz-snapshotter ${versions.get('stargzClient') ?? ''} @ ${upstream}`;
}

export async function playLazy(stage: Stage, seeded: Seeded): Promise<void> {
  const { report, versions } = stage;
  const row = lazyRow(versions, seeded.upstream.name);
  if (!existsSync('/dev/fuse')) return report.empty(row, 'there is no /dev/fuse here');
  const made: Layer[] = [];
  await report.check(`${row}: a layer in eStargz is pushed`, async () => void made.push(await push(stage, seeded)));
  const [layer] = made;
  if (layer === undefined) return report.empty(row, 'there is no layer in eStargz');
  await playPhases(stage, {
    row,
    seeded,
    act: (weir) => mountAndRead(stage, seeded, weir.host, layer),
    cost: (phase, requests) => onceEach(phase, requests, layer),
  });
  return undefined;
}

async function mountAndRead(
  { tools, workspace }: Stage,
  { upstream }: Seeded,
  weir: string,
  { digest, tocDigest, files }: Layer,
): Promise<string> {
  using temporary = workspace.scratch('stargz');
  const directory = temporary.path;
  const names = opened.map((index) => [...files.keys()][index] ?? '');
  const image = `${upstream.name}/${repository}:1`;
  const { stdout } = await run(tools.stargzClient, ['read', weir, image, digest, tocDigest, directory, ...names]);
  const seen = JSON.parse(stdout) as { mountMs: number; readMs: number; files: Readonly<Record<string, string>> };
  const wrong = names.filter((name) => seen.files[name] !== files.get(name));
  if (wrong.length > 0) throw new CheckError(`other bytes in ${wrong.join(' ')}`);
  await untilStored(`http://${weir}/v2/${upstream.name}/${repository}/blobs/${digest}`);
  return `mounted in ${seen.mountMs} ms, ${names.length} files in ${seen.readMs} ms`;
}

/** The transfer of the rest goes on behind the client's back, and is part of the cost. */
async function untilStored(url: string): Promise<void> {
  const deadline = Date.now() + 30_000;
  while ((await fetch(url, { method: 'HEAD' })).headers.get('cache-status') !== 'weir; hit') {
    if (Date.now() > deadline) throw new CheckError('the layer is not in the cache after 30 s');
    await sleep(25);
  }
}

/** Cold, every byte leaves the upstream once, in whatever order the client asked for them. */
function onceEach(phase: Phase, requests: readonly LoggedRequest[], { digest, sizeBytes }: Layer): void {
  if (phase !== 'cold') return;
  const sent = blobTransfers(requests, digest).sizeBytes;
  if (sent !== sizeBytes) throw new CheckError(`${sent} bytes were sent of layer ${digest}, which has ${sizeBytes}`);
}

async function push({ tools, workspace }: Stage, { upstream }: Seeded): Promise<Layer> {
  using temporary = workspace.scratch('estargz');
  const directory = temporary.path;
  const [tree, tar, layer] = [join(directory, 'tree'), join(directory, 'layer.tar'), join(directory, 'layer.esgz')];
  mkdirSync(tree);
  const files = new Map<string, string>();
  for (let index = 0; index < fileCount; index++) {
    const name = `file-${String(index).padStart(2, '0')}`;
    // Bytes that do not compress, and are those of this run alone.
    const bytes = createHash('shake256', { outputLength: fileBytes }).update(`${workspace.root} ${index}`).digest();
    writeFileSync(join(tree, name), bytes);
    files.set(name, createHash('sha256').update(bytes).digest('hex'));
  }
  await run('tar', ['--sort=name', '--owner=0', '--group=0', '--numeric-owner', '-C', tree, '-cf', tar, '.']);
  const { stdout } = await run(tools.stargzClient, ['build', tar, layer]);
  const { tocDigest } = JSON.parse(stdout) as { readonly tocDigest: string };
  const at = `${upstream.host}/${repository}:1`;
  const types = ['-artifact-type=application/vnd.weir-e2e.layer'];
  await run(tools.orasClient, ['push', ...types, at, `${layer}=application/vnd.oci.image.layer.v1.tar+gzip`]);
  return { digest: await hashFile(layer), sizeBytes: statSync(layer).size, tocDigest, files };
}
