/** A cold blob behind an upstream that limits each connection, as the networks in front of registries do. */
import type { Scenario } from '../bench.ts';
import { startProxy } from '../support/proxy-process.ts';
import { coldRow, warmUpImage } from './cold.ts';

/** The line between a city and the next continent's data centre; a third of one across an ocean. */
export const roundTripMs = 40;

export const limited: Scenario = {
  name: 'limited',
  title: 'A cold blob, the upstream limited per connection',
  about:
    'A blob of 300 MB (--quick: 100 MB), one client that hashes. nginx limits each connection to 12.5 or 50 MB/s. The ' +
    '40 ms round trip comes from a proxy that delays every byte and the handshake, and carries the direct row too. ' +
    'All but weir are asked twice: their time is what the limit makes it.',
  prepare(content, scale) {
    warmUpImage(content, 'small');
    content.image('limited', [scale.limitedBytes]);
  },
  async run(bench) {
    const image = bench.content.image('limited', [bench.scale.limitedBytes]);
    // What the limit fixes is no matter of chance.
    const options = { warmUp: 'small', compared: [] } as const;
    const slow = bench.upstream.route('limit12');
    await coldRow(bench, { id: 'limited-12', title: '12.5 MB/s' }, slow, image, options);
    const faster = bench.upstream.route('limit50');
    await coldRow(bench, { id: 'limited-50', title: '50 MB/s' }, faster, image, options);
    await using proxy = await startProxy(slow, roundTripMs);
    const row = { id: 'limited-12-far', title: `12.5 MB/s, ${roundTripMs} ms` };
    await coldRow(bench, row, proxy.route, image, options);
  },
};
