/** Many clients that want one cold blob at the same moment, behind an upstream limited to 12.5 MB/s per connection. */
import type { Scenario } from '../bench.ts';
import { coldRow, warmUpImage } from './cold.ts';

const sizes = [1, 8, 100] as const;

export const herd: Scenario = {
  name: 'herd',
  title: 'A herd on one cold blob, the upstream limited to 12.5 MB/s per connection',
  about:
    'A blob of 200 MB (--quick: 50 MB). Time is that of the slowest client. One client hashes, the others count, as those ' +
    'of the warm blob do that it is compared with. All but weir are asked twice.',
  prepare(content, scale) {
    warmUpImage(content, 'small');
    content.image('herd', [scale.herdBytes]);
  },
  async run(bench) {
    const image = bench.content.image('herd', [bench.scale.herdBytes]);
    for (const connections of sizes) {
      const row = { id: `herd-${connections}`, title: `${connections} client${connections === 1 ? '' : 's'}` };
      const options = { connections, hash: 1, warmUp: 'small', compared: [] } as const;
      await coldRow(bench, row, bench.upstream.route('limit12'), image, options);
    }
  },
};
