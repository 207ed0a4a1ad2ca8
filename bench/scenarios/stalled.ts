/** A thousand clients that ask for a large blob and read nothing. */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Daemon } from '../../test/e2e/process.ts';
import type { Bench, Scenario } from '../bench.ts';
import type { Peer, Subject } from '../peers/peer.ts';
import type { Sample } from '../results.ts';
import { checkWhole } from '../support/check.ts';
import { blobOf, blobPath, type Image, manifestPath } from '../support/content.ts';
import { cpuSettles, residentBytes } from '../support/proc.ts';
import { warmUpImage, withCold } from './cold.ts';

const MB = 1_000_000;
const readers = 1000;

/** Two whole downloads, so that the cache has done what it does to a blob. */
async function warm(bench: Bench, subject: Subject, image: Image): Promise<void> {
  for (let time = 0; time < 2; time++) {
    const url = `${subject.origin}${blobPath(image)}`;
    checkWhole(await bench.client.get(url, { hash: 1, before: manifestPath(image) }), blobOf(image));
  }
}

async function hold(bench: Bench, subject: Subject, image: Image): Promise<Sample> {
  const { pid } = subject;
  if (pid === undefined) return {};
  await warm(bench, subject, image);
  await cpuSettles(pid);
  const idleBytes = residentBytes(pid);
  const args = ['stall', `-connections=${readers}`, `${subject.origin}${blobPath(image)}`];
  const client = new Daemon('stalled readers', bench.client.program, args, join(subject.directory, 'stalled.log'));
  try {
    await client.ready(() => Promise.resolve(client.log().includes('stalled ')), 60_000);
    if (!client.log().includes(`stalled ${readers} of`)) throw new Error(client.log().trim());
    let most = 0;
    for (let look = 0; look < 15; look++) {
      await sleep(200);
      most = Math.max(most, residentBytes(pid));
    }
    return { overIdleMb: (most - idleBytes) / MB, residentMb: idleBytes / MB };
  } finally {
    await client.stop('SIGKILL');
  }
}

export const stalled: Scenario = {
  name: 'stalled',
  title: 'A thousand stalled readers',
  about:
    'Each asks for a warm blob of 1 GiB, reads the head of the answer and nothing more. The most that was resident in ' +
    'the three seconds after the last one, over what was resident before the first.',
  prepare(content, scale) {
    warmUpImage(content);
    content.image('large', [scale.largeBytes]);
  },
  async run(bench) {
    const image = bench.content.image('large', [bench.scale.largeBytes]);
    const row = { id: 'stalled', title: 'memory' };
    const route = bench.upstream.route('plain');
    const one = (peer: Peer): Promise<void> =>
      bench.sample(row, peer, () => withCold(bench, peer, route, (subject) => hold(bench, subject, image)));
    await bench.rounds(bench.caches, one, []);
  },
};
