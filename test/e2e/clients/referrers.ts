/** Discovering what refers to an artifact, with oras-go: by the referrers API where there is one, else by fallback tag. */
import { isDeepStrictEqual } from 'node:util';
import { signatureType } from '../content/seed.ts';
import { run } from '../process.ts';
import { referenceOf, type Client } from './client.ts';

interface Found {
  readonly digest: string;
}

interface Discovered {
  readonly subject: Found;
  readonly referrers: readonly (Found & { readonly layers: readonly Found[] })[];
}

function sorted({ subject, referrers }: Discovered): Discovered {
  return { subject, referrers: referrers.toSorted((a, b) => a.digest.localeCompare(b.digest)) };
}

export const referrers: Client = {
  name: 'oras-go discover',
  programs: ['orasClient'],
  kinds: ['referrers'],
  platforms: 'all',
  open: async ({ tools, weir, upstream }) => {
    const discover = async (reference: string, ...flags: readonly string[]): Promise<Discovered> => {
      const { stdout } = await run(tools.orasClient, ['discover', ...flags, reference]);
      return sorted(JSON.parse(stdout) as Discovered);
    };
    const direct = await discover(`${upstream.host}/lab/model:1`);
    return {
      pull: async (artifact, by) => {
        const name = referenceOf(artifact, by);
        const all = await discover(`${weir}/${upstream.name}/${name}`);
        if (!isDeepStrictEqual(all, direct)) {
          throw new Error(`directly: ${JSON.stringify(direct)}\nthrough weir: ${JSON.stringify(all)}`);
        }
        if (all.referrers.length !== 2) throw new Error(`not two referrers: ${JSON.stringify(all)}`);
        const some = await discover(`${weir}/${upstream.name}/${name}`, `-artifact-type=${signatureType}`);
        if (some.referrers.length !== 1) throw new Error(`not one signature: ${JSON.stringify(some)}`);
        return { digests: [all.subject.digest] };
      },
      close: async () => {},
    };
  },
};
