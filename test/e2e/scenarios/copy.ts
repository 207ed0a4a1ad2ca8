/** `oras copy -r` with weir as the source: an artifact and everything that refers to it, carried to another registry. */
import { isDeepStrictEqual } from 'node:util';
import { run } from '../process.ts';
import { CheckError } from '../report.ts';
import { withWeir, type Seeded, type Stage } from '../stage.ts';

export async function playCopy(stage: Stage, from: Seeded, to: Seeded): Promise<void> {
  const { tools, report } = stage;
  const discover = async (reference: string): Promise<unknown> => {
    const { stdout } = await run(tools.orasClient, ['discover', reference]);
    const { subject, referrers } = JSON.parse(stdout) as {
      readonly subject: { readonly digest: string };
      readonly referrers: readonly { readonly digest: string }[];
    };
    return { subject: subject.digest, referrers: referrers.map(({ digest }) => digest).toSorted() };
  };
  await withWeir(stage, 'copy', from.upstream, async (weir) => {
    await report.check(
      `copy: a signed artifact with its referrers from ${from.upstream.name} to ${to.upstream.name}`,
      async () => {
        const source = `${weir.host}/${from.upstream.name}/lab/model:1`;
        const target = `${to.upstream.host}/copied/model:1`;
        await run(tools.orasClient, ['copy', source, target]);
        const [original, copy] = [await discover(`${from.upstream.host}/lab/model:1`), await discover(target)];
        if (!isDeepStrictEqual(original, copy)) {
          throw new CheckError(`${JSON.stringify(original)} became ${JSON.stringify(copy)}`);
        }
      },
      () => weir.loggedSince(0),
    );
  });
}
