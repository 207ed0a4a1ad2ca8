/** The cache root is an OCI image layout that other programs read. */
import { join } from 'node:path';
import { hashBlobs, hashFile } from '../clients/client.ts';
import { run } from '../process.ts';
import { CheckError } from '../report.ts';
import { withWeir, type Seeded, type Stage } from '../stage.ts';

/** Pulls images through weir and, once it has stopped, copies them out of its root by tag with skopeo. */
export async function playLayout(stage: Stage, { upstream, artifacts }: Seeded): Promise<void> {
  const { tools, workspace, report } = stage;
  const wanted = artifacts.filter(({ kind }) => kind === 'image' || kind === 'index' || kind === 'artifact');
  await withWeir(
    stage,
    'layout',
    upstream,
    async (weir) => {
      for (const { name, repository, tag } of wanted) {
        await report.check(`layout: ${name} is cached`, async () => {
          const target = join(workspace.directory('crane'), 'layout');
          const from = `${weir.host}/${upstream.name}/${repository}:${tag}`;
          await run(tools.crane, ['pull', '--format=oci', from, target]);
        });
      }
    },
    async (weir) => {
      for (const { name, repository, tag, direct } of wanted) {
        await report.check(`layout: skopeo reads ${name} out of the root`, async () => {
          const target = join(workspace.directory('skopeo'), 'copy');
          const from = `oci:${weir.root}:${upstream.name}/${repository}:${tag}`;
          await run(tools.skopeo, ['--insecure-policy', 'copy', '--all', '--preserve-digests', from, `dir:${target}`]);
          const root = await hashFile(join(target, 'manifest.json'));
          if (root !== direct.root) throw new CheckError(`${root} instead of ${direct.root}`);
          const blobs = await hashBlobs(target);
          const absent = [...direct.blobs.keys()].filter((digest) => !blobs.includes(digest));
          if (absent.length > 0) throw new CheckError(`not in the copy: ${absent.join(' ')}`);
        });
      }
    },
  );
}
