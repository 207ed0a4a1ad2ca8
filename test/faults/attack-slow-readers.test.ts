import { describe, expect, it } from 'vitest';
import { buildImage } from '../support/image-builder.ts';
import { download } from './support/blob-client.ts';
import { Idlers } from './support/idlers.ts';
import { mb, mib, Stage } from './support/stage.ts';
import { isLong } from './support/tier.ts';

const manifests = 200;
const lists = 10;
const readersOfList = 10;
const tagLength = 128;
const tagsOfList = 60_000;

/** Puts manifests of nearly 4 MiB and lists of nearly 8 MB upstream; gives their paths. */
function fill({ upstream }: Stage): { readonly manifests: string[]; readonly lists: string[] } {
  const paths = { manifests: [] as string[], lists: [] as string[] };
  for (let index = 0; index < manifests; index++) {
    const image = buildImage({ seed: index, layers: [10], annotations: { pad: 'x'.repeat(4 * mib - 4096) } });
    upstream.content.add('team/large', image);
    paths.manifests.push(`/v2/team/large/manifests/${image.digest}`);
  }
  const image = buildImage({ seed: 'listed', layers: [10] });
  for (let index = 0; index < lists; index++) {
    const repository = `team/list-${index}`;
    upstream.content.add(repository, image);
    for (let tag = 0; tag < tagsOfList; tag++) {
      upstream.content.tag(repository, `${tag}-${tag === 0 ? index : ''}-`.padEnd(tagLength, 'x'), image.digest);
    }
    paths.lists.push(`/v2/${repository}/tags/list`);
  }
  return paths;
}

const serving: readonly (readonly [string, object])[] = [
  ['threads of their own', {}],
  ['the main thread', { serve: { threads: 1 } }],
];

describe.each(isLong ? serving : serving.slice(0, 1))(
  '300 slow readers of large answers, served by %s',
  (_who, config) => {
    it('hold 64 MB at most above what the hot caches hold', async () => {
      await using stage = await Stage.set({ ...config, tags: { ttl: '1h' } });
      const { weir } = stage;
      stage.upstream.pageSize = tagsOfList;
      const paths = fill(stage);
      for (const path of [...paths.manifests, ...paths.lists]) {
        expect(await download(weir.port, path)).toMatchObject({ status: 200, isComplete: true });
      }
      const before = weir.rssBytes();
      using idlers = new Idlers(weir.port);
      await idlers.ask(paths.manifests);
      for (let round = 0; round < readersOfList; round++) await idlers.ask(paths.lists);
      expect(idlers.statuses).toEqual(
        Array.from({ length: manifests + lists * readersOfList }, () => 'HTTP/1.1 200 OK'),
      );
      let most = 0;
      for (let sample = 0; sample < 30; sample++) {
        most = Math.max(most, weir.rssBytes());
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
      console.log(
        `slow readers: ${(before / mb).toFixed(0)} MB before, at most ${(most / mb).toFixed(0)} MB with them`,
      );
      expect(idlers.closed).toBe(0);
      expect(most - before).toBeLessThan(64 * mb);
    });
  },
);
