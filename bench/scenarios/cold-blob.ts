/** A cold blob of 1 GiB, over plain HTTP and TLS. */
import type { Scenario } from '../bench.ts';
import { coldRow, warmUpImage } from './cold.ts';

export const coldBlob: Scenario = {
  name: 'cold-blob',
  title: 'A blob of 1 GiB, cold, one client',
  about:
    'An empty cache that has fetched 32 MB of something else. The client asks for the manifest by its tag, then for the ' +
    'blob, and hashes it as container runtimes do. Processor time includes what the cache does after the last byte.',
  prepare(content, scale) {
    warmUpImage(content);
    content.image('large', [scale.largeBytes]);
  },
  async run(bench) {
    const image = bench.content.image('large', [bench.scale.largeBytes]);
    const plain = { id: 'cold-blob-plain', title: 'plain HTTP upstream' };
    const tls = { id: 'cold-blob-tls', title: 'TLS upstream' };
    await coldRow(bench, plain, bench.upstream.route('plain'), image);
    await coldRow(bench, tls, bench.upstream.route('tls'), image);
  },
};
