/** The cache root is an OCI image layout that other programs read. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { hashBlobs, hashFile } from '../clients/client.ts';
import type { Artifact } from '../content/seed.ts';
import { run } from '../process.ts';
import { CheckError } from '../report.ts';
import { withWeir, type Seeded, type Stage } from '../stage.ts';

/** Caches images and artifacts through weir and, once it has stopped, copies them out of its root by tag. */
export async function playLayout(stage: Stage, { upstream, artifacts }: Seeded): Promise<void> {
  const { tools, workspace, report } = stage;
  const wanted = artifacts.filter(({ kind }) => kind === 'image' || kind === 'index' || kind === 'artifact');
  const nameOf = ({ repository, tag }: Artifact): string => `${upstream.name}/${repository}:${tag}`;
  await withWeir(
    stage,
    'layout',
    upstream,
    async (weir) => {
      for (const artifact of wanted) {
        await report.check(`layout: ${artifact.name} is cached`, async () => {
          const target = join(workspace.directory('crane'), 'layout');
          await run(tools.crane, ['pull', '--format=oci', `${weir.host}/${nameOf(artifact)}`, target]);
        });
      }
    },
    async ({ root }) => {
      for (const artifact of wanted) {
        await report.check(`layout: oras-go reads ${artifact.name} out of the root`, async () => {
          const target = workspace.directory('extract');
          const { stdout } = await run(tools.orasClient, ['extract', root, nameOf(artifact), target]);
          const { digest } = JSON.parse(stdout) as { readonly digest: string };
          compare(artifact, digest, await hashBlobs(join(target, 'blobs', 'sha256')));
        });
        // skopeo 1.9 and umoci 0.4 find only OCI media types in a layout, and this one image is Docker's.
        if (artifact.name === 'busybox') continue;
        await report.check(`layout: skopeo reads ${artifact.name} out of the root`, async () => {
          const target = join(workspace.directory('skopeo'), 'copy');
          const args = ['copy', '--all', '--preserve-digests', `oci:${root}:${nameOf(artifact)}`, `dir:${target}`];
          await run(tools.skopeo, ['--insecure-policy', ...args]);
          compare(artifact, await hashFile(join(target, 'manifest.json')), await hashBlobs(target));
        });
        if (artifact.kind !== 'image') continue;
        await report.check(`layout: umoci unpacks ${artifact.name} out of the root`, async () => {
          const bundle = join(workspace.directory('umoci'), 'bundle');
          await run(tools.umoci, ['unpack', '--image', `${root}:${nameOf(artifact)}`, bundle]);
          const said = ['weir-e2e', 'weir-e2e-second'].map((file) =>
            readFileSync(join(bundle, 'rootfs/etc', file), 'utf8'),
          );
          if (said.join('').trim() !== artifact.says) throw new CheckError(`the files say ${said.join('')}`);
        });
      }
    },
  );
}

function compare({ direct }: Artifact, digest: string, blobs: readonly string[]): void {
  if (digest !== direct.root) throw new CheckError(`${digest} instead of ${direct.root}`);
  const absent = [...direct.blobs.keys()].filter((blob) => !blobs.includes(blob));
  if (absent.length > 0) throw new CheckError(`not in the copy: ${absent.join(' ')}`);
}
