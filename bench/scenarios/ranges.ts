/** One megabyte out of a cold blob, at its beginning and near its end. */
import type { Bench, Row, Scenario } from '../bench.ts';
import type { Sample } from '../results.ts';
import type { Peer, Subject } from '../peers/peer.ts';
import { checkSpan } from '../support/check.ts';
import { blobPath, hashOfSpan, type Image, manifestPath } from '../support/content.ts';
import { warmUpImage, withCold } from './cold.ts';

const length = 1_000_000;

async function ask(bench: Bench, { origin }: Subject, image: Image, offset: number): Promise<Sample> {
  const range = `bytes=${offset}-${offset + length - 1}`;
  const options = { hash: 1, before: manifestPath(image), range };
  const report = await bench.client.get(`${origin}${blobPath(image)}`, options);
  checkSpan(report, length, hashOfSpan('limited#0', bench.scale.limitedBytes, offset, length));
  return { seconds: report.seconds };
}

export const ranges: Scenario = {
  name: 'ranges',
  title: 'One megabyte of a cold blob',
  about:
    'Out of 300 MB (--quick: 100 MB) behind an upstream limited to 12.5 MB/s per connection. "wrong": the answer was ' +
    'the whole blob with status 200, which a client that asked for a range does not want.',
  prepare(content, scale) {
    warmUpImage(content, 'small');
    content.image('limited', [scale.limitedBytes]);
  },
  async run(bench) {
    const { limitedBytes } = bench.scale;
    const image = bench.content.image('limited', [limitedBytes]);
    const route = bench.upstream.route('limit12');
    const rows: readonly (Row & { readonly offset: number })[] = [
      { id: 'range-near', title: 'from 1 MB on', offset: 1_000_000 },
      { id: 'range-far', title: '20 MB before the end', offset: limitedBytes - 20_000_000 },
    ];
    for (const row of rows) {
      const one = (peer: Peer): Promise<void> =>
        bench.sample(row, peer, () =>
          withCold(bench, peer, route, (subject) => ask(bench, subject, image, row.offset), { warmUp: 'small' }),
        );
      await bench.rounds(bench.peers, one, []);
    }
  },
};
