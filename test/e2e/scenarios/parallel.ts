/** containerd 2 fetches a layer by open-ended ranges, several at a time, and leaves each of them where the next one begins. */
import { createHash } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CtrSession, parallelContainerd } from '../clients/containerd.ts';
import { packLayer } from '../content/images.ts';
import { sha256 } from '../content/image-layout.ts';
import { run } from '../process.ts';
import { CheckError, type Phase } from '../report.ts';
import { blobTransfers, type LoggedRequest } from '../request-log.ts';
import type { Seeded, Stage } from '../stage.ts';
import type { Weir } from '../weir.ts';
import { playPhases } from './phases.ts';

const repository = 'lab/parallel';
const layerBytes = 40_000_000;
/** What a connection between two processes of one machine takes ahead of its reader, at most (Linux: tcp_wmem and tcp_rmem). */
const connectionBytes = 10 * 1024 * 1024;

interface Layer {
  readonly digest: string;
  readonly sizeBytes: number;
}

/** The row that it fills. */
export function parallelRow(versions: ReadonlyMap<string, string>, upstream: string): string {
  return `containerd ${versions.get('containerd2') ?? ''} in parallel @ ${upstream}`;
}

export async function playParallel(stage: Stage, seeded: Seeded): Promise<void> {
  const { report, versions } = stage;
  const row = parallelRow(versions, seeded.upstream.name);
  const made: Layer[] = [];
  await report.check(`${row}: an image with a large layer is pushed`, async () => {
    made.push(await push(stage, seeded));
  });
  const [layer] = made;
  if (layer === undefined) return report.empty(row, 'there is no image with a large layer');
  await playPhases(stage, {
    row,
    seeded,
    act: (weir) => pull(stage, seeded, weir, layer),
    cost: (phase, requests) => onceOnly(phase, requests, layer),
  });
  return undefined;
}

async function pull(stage: Stage, { upstream }: Seeded, weir: Weir, { digest }: Layer): Promise<string> {
  const { tools, workspace } = stage;
  const mark = weir.mark();
  const settings = workspace.directory('settings');
  await weir.setUp('containerd', settings);
  const session = await CtrSession.open({ tools, workspace, weir: weir.host, upstream, settings }, parallelContainerd);
  try {
    await session.fetch(`${upstream.name}/${repository}:1`);
    if (!(await session.blobs()).includes(digest)) throw new CheckError(`containerd has no ${digest}`);
  } finally {
    await session.close();
    workspace.remove(settings);
  }
  const lines = (await weir.linesSince(mark)).filter(({ reference }) => reference === digest);
  const ranges = lines.filter(({ status }) => status === 206).length;
  if (ranges < layerBytes / 2_097_152) throw new CheckError(`only ${ranges} of its requests were for ranges`);
  const bad = lines.filter(({ level }) => level === 'warn' || level === 'error');
  if (bad.length > 0) throw new CheckError(`weir made a fuss of it: ${JSON.stringify(bad[0])}`);
  return `${ranges} ranges`;
}

/** Cold, no tail was transferred for a range that its client left. */
function onceOnly(phase: Phase, requests: readonly LoggedRequest[], { digest, sizeBytes }: Layer): void {
  if (phase !== 'cold') return;
  const { sizeBytes: sent = NaN } = blobTransfers(requests, digest);
  if (sent >= sizeBytes && sent <= sizeBytes + connectionBytes) return;
  throw new CheckError(`${sent} bytes were sent of layer ${digest}, which has ${sizeBytes}`);
}

async function push({ tools, workspace }: Stage, { upstream }: Seeded): Promise<Layer> {
  const directory = workspace.directory('parallel');
  try {
    const [tree, file] = [join(directory, 'tree'), join(directory, 'layer.tar.gz')];
    mkdirSync(tree);
    // Bytes that do not compress, and are those of this run alone.
    const bytes = createHash('shake256', { outputLength: layerBytes }).update(workspace.root).digest();
    writeFileSync(join(tree, 'noise'), bytes);
    const layer = await packLayer(tree, directory);
    writeFileSync(file, layer.bytes);
    const at = `${upstream.host}/${repository}:1`;
    await run(tools.crane, ['append', '--insecure', '--oci-empty-base', '--new_layer', file, '--new_tag', at]);
    return { digest: sha256(layer.bytes), sizeBytes: layer.bytes.length };
  } finally {
    workspace.remove(directory);
  }
}
