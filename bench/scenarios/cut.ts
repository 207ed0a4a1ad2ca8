/** The upstream breaks every connection in the middle of a cold blob, once. */
import type { Scenario } from '../bench.ts';
import type { Peer, Subject } from '../peers/peer.ts';
import type { GetReport } from '../support/client.ts';
import { checkWhole } from '../support/check.ts';
import { blobOf, blobPath, manifestPath } from '../support/content.ts';
import { startProxy } from '../support/proxy-process.ts';
import { coldSample, warmUpImage } from './cold.ts';

export const cut: Scenario = {
  name: 'cut',
  title: 'The upstream breaks its connections in the middle of a cold blob',
  about:
    'A proxy resets every connection when 40 % of 300 MB (--quick: 100 MB) have passed, once. "failed": the client’s ' +
    'download broke.',
  prepare(content, scale) {
    warmUpImage(content);
    content.image('limited', [scale.limitedBytes]);
  },
  async run(bench) {
    const { limitedBytes } = bench.scale;
    const image = bench.content.image('limited', [limitedBytes]);
    await using proxy = await startProxy(bench.upstream.route('plain'), 0);
    const ask = async ({ origin }: Subject): Promise<GetReport> => {
      proxy.cutAfter(0.4 * limitedBytes);
      const report = await bench.client.get(`${origin}${blobPath(image)}`, { hash: 1, before: manifestPath(image) });
      checkWhole(report, blobOf(image));
      return report;
    };
    const row = { id: 'cut', title: 'cut at 40 %' };
    const one = (peer: Peer): Promise<void> =>
      bench.sample(row, peer, () => coldSample(bench, peer, proxy.route, image, ask));
    await bench.rounds(bench.peers, one, []);
  },
};
