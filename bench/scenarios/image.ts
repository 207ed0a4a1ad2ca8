/** A cold image of 60 layers by skopeo, which verifies every one; near, and with a round trip of 40 ms. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { cleanEnvironment, run } from '../../test/e2e/process.ts';
import { onPath } from '../../test/e2e/install/cache.ts';
import type { Bench, Row, Scenario } from '../bench.ts';
import type { Peer, Subject } from '../peers/peer.ts';
import type { Sample } from '../results.ts';
import type { Content, Image } from '../support/content.ts';
import { startProxy } from '../support/proxy-process.ts';
import type { Route } from '../support/upstream.ts';
import { warmUpImage, withCold } from './cold.ts';
import { roundTripMs } from './limited.ts';

function imageOf(content: Content): Image {
  return content.image(
    'layers',
    Array.from({ length: 60 }, (_, index) => 1_000_000 + index),
  );
}

async function pull(bench: Bench, { origin }: Subject, image: Image): Promise<Sample> {
  const directory = join(bench.workspace.root, 'skopeo');
  const reference = `${new URL(origin).host}/${image.repository}:${image.tag}`;
  const mark = bench.upstream.mark();
  const started = performance.now();
  try {
    const args = ['copy', '-q', '--insecure-policy', '--src-tls-verify=false', '--src-no-creds'];
    await run('skopeo', [...args, `docker://${reference}`, `dir:${directory}`], {
      env: cleanEnvironment({ HOME: bench.workspace.root, TMPDIR: bench.workspace.root }),
    });
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
  const seconds = (performance.now() - started) / 1000;
  const digests = new Set(image.layers.map(({ digest }) => digest));
  const requests = await bench.upstream.requestsSince(mark);
  const bytes = requests
    .filter(({ path }) => digests.has(path.split('/').at(-1) ?? ''))
    .reduce((sum, one) => sum + one.bytes, 0);
  return { seconds, upstreamTimes: bytes / image.layers.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0) };
}

async function measure(bench: Bench, row: Row, route: Route): Promise<void> {
  const image = imageOf(bench.content);
  const one = (peer: Peer): Promise<void> =>
    bench.sample(row, peer, () => {
      if (onPath('skopeo') === undefined) throw new Error('skopeo is not installed');
      return withCold(bench, peer, route, (subject) => pull(bench, subject, image));
    });
  await bench.rounds(bench.peers, one, ['direct']);
}

export const image: Scenario = {
  name: 'image',
  title: 'An image of 60 layers, cold, by skopeo',
  about:
    '60 layers of 1 MB. skopeo copies to a directory, one layer after the other, and verifies each. Once the upstream is ' +
    'on the same machine, once behind the delaying proxy; the cache is always near.',
  prepare(content) {
    warmUpImage(content);
    imageOf(content);
  },
  async run(bench) {
    const near = bench.upstream.route('plain');
    await measure(bench, { id: 'image-near', title: 'upstream near' }, near);
    await using proxy = await startProxy(near, roundTripMs);
    await measure(bench, { id: 'image-far', title: `upstream ${roundTripMs} ms away` }, proxy.route);
  },
};
