/** An upstream that allows five requests a second, as ECR Public does: four skopeo that start together all get their images. */
import { createHash } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { hashBlobs } from '../clients/client.ts';
import { packLayer } from '../content/images.ts';
import { sha256 } from '../content/image-layout.ts';
import { run } from '../process.ts';
import { Relay } from '../relay.ts';
import { CheckError } from '../report.ts';
import { withWeir, type Seeded, type Stage } from '../stage.ts';

const clients = 4;
const layers = 6;
const perSecond = 5;
/** After those that were under way when the first was refused. */
const mostRefusedLater = 5;
/** On one machine the answer is there by then, and everything that was under way has come. */
const underWayMs = 300;

interface Pushed {
  readonly reference: string;
  readonly digests: readonly string[];
}

export async function playLimited(stage: Stage, { upstream }: Seeded): Promise<void> {
  const { report, tools, workspace } = stage;
  const row = `limited: ${clients} skopeo at ${perSecond} requests a second`;
  const pushed: Pushed[] = [];
  await report.check(`${row}: images of ${layers} layers are pushed`, async () => {
    for (let index = 0; index < clients; index++) pushed.push(await push(stage, upstream.host, index));
  });
  const relay = await Relay.start(upstream.host, Number.POSITIVE_INFINITY, perSecond);
  const behind = { name: upstream.name, ttl: upstream.ttl, host: relay.host };
  await withWeir(stage, row, behind, async (weir) => {
    await report.check(
      `${row}: all get everything, and few are refused`,
      async () => {
        await Promise.all(
          pushed.map(async ({ reference, digests }) => {
            const directory = workspace.directory('limited');
            const from = `docker://${weir.host}/docker.io/${reference}`;
            const args = ['--insecure-policy', 'copy', '--src-tls-verify=false', from, `dir:${directory}/pulled`];
            await run(tools.skopeo, args, { timeoutMs: 120_000 });
            const found = await hashBlobs(join(directory, 'pulled'));
            const absent = digests.filter((digest) => !found.includes(digest));
            if (absent.length > 0) throw new CheckError(`${reference}: no ${absent.join(' ')}`);
            workspace.remove(directory);
          }),
        );
        return judge(relay);
      },
      () => weir.loggedSince(0),
    );
  });
  await relay.stop();
}

function judge({ passed }: Relay): string {
  const refused = passed.filter(({ status }) => status === 429).map(({ atMs }) => atMs);
  const [first] = refused;
  if (first === undefined) throw new CheckError('nobody was refused: that proves nothing');
  const later = refused.filter((atMs) => atMs > first + underWayMs);
  if (later.length > mostRefusedLater) throw new CheckError(`${later.length} were refused after the first ones`);
  return `${passed.length} requests, ${refused.length} refused, ${later.length} of them after the first ones`;
}

async function push({ tools, workspace }: Stage, host: string, index: number): Promise<Pushed> {
  const directory = workspace.directory('limited');
  try {
    const files: string[] = [];
    const digests: string[] = [];
    for (let layer = 0; layer < layers; layer++) {
      const [tree, file] = [join(directory, `tree${layer}`), join(directory, `layer${layer}.tar.gz`)];
      mkdirSync(tree);
      const seed = `${workspace.root} ${index} ${layer}`;
      writeFileSync(join(tree, 'noise'), createHash('shake256', { outputLength: 100_000 }).update(seed).digest());
      const { bytes } = await packLayer(tree, directory);
      writeFileSync(file, bytes);
      files.push('--new_layer', file);
      digests.push(sha256(bytes));
    }
    const reference = `lab/limited${index}:1`;
    const at = `${host}/${reference}`;
    await run(tools.crane, ['append', '--insecure', '--oci-empty-base', ...files, '--new_tag', at]);
    return { reference, digests };
  } finally {
    workspace.remove(directory);
  }
}
