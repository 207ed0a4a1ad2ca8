/** A fast client of a cold blob beside eight that take a trickle of the same one. */
import type { Bench, Scenario } from '../bench.ts';
import type { Peer, Subject } from '../peers/peer.ts';
import type { GetReport } from '../support/client.ts';
import { checkRunning, checkWhole } from '../support/check.ts';
import { blobOf, blobPath, type Image, manifestPath } from '../support/content.ts';
import { coldSample, warmUpImage } from './cold.ts';

const slowReaders = 8;
const slowBytesPerSecond = 2_000_000;

async function ask(bench: Bench, { origin }: Subject, image: Image): Promise<GetReport> {
  const url = `${origin}${blobPath(image)}`;
  const before = manifestPath(image);
  const slowOptions = { connections: slowReaders, rate: slowBytesPerSecond, receive: 65_536, seconds: 8, before };
  const slow = bench.client.get(url, slowOptions);
  try {
    const report = await bench.client.get(url, { hash: 1, before });
    checkWhole(report, blobOf(image));
    return report;
  } finally {
    checkRunning(await slow);
  }
}

export const slowReadersBeside: Scenario = {
  name: 'slow-readers',
  title: 'A fast client beside eight slow ones, a cold blob of 1 GiB',
  about:
    'The slow ones take 2 MB/s each for eight seconds and begin together with the fast one, whose time is shown. ' +
    'The upstream is plain HTTP without limits; compare with the cold blob above.',
  prepare(content, scale) {
    warmUpImage(content);
    content.image('large', [scale.largeBytes]);
  },
  async run(bench) {
    const image = bench.content.image('large', [bench.scale.largeBytes]);
    const row = { id: 'slow-readers', title: 'the fast client' };
    const route = bench.upstream.route('plain');
    const one = (peer: Peer): Promise<void> =>
      bench.sample(row, peer, () => coldSample(bench, peer, route, image, (subject) => ask(bench, subject, image)));
    await bench.rounds(bench.peers, one, []);
  },
};
