/** Hits while ten fills run, against hits when nothing else goes on. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Bench, Row, Scenario } from '../bench.ts';
import type { Peer, Subject } from '../peers/peer.ts';
import type { Sample } from '../results.ts';
import { checkRunning } from '../support/check.ts';
import { blobPath, type Content, type Image, manifestPath } from '../support/content.ts';
import { warmUpImage, withCold } from './cold.ts';
import { hitRow, hotImage, warmHits } from './hits.ts';

const fills = 10;
/** Twelve seconds of a fill at 5 MB/s: longer than what is measured beside it. */
const fillBytes = 60_000_000;

const idle: Row = { id: 'busy-hits-idle', title: 'idle' };
const busy: Row = { id: 'busy-hits', title: 'ten fills of 5 MB/s each' };

function fillImages(content: Content): readonly Image[] {
  return Array.from({ length: fills }, (_, index) => content.image(`fill-${index}`, [fillBytes]));
}

async function beside(bench: Bench, subject: Subject, images: readonly Image[]): Promise<Sample> {
  const urls = images.map((image) => `${subject.origin}${blobPath(image)}`);
  const before = images.map(manifestPath);
  const running = bench.client.get(urls, { connections: fills, before, seconds: bench.scale.seconds + 2 });
  await sleep(1000); // all of them have begun
  const sample = await hitRow(bench, subject);
  checkRunning(await running);
  return sample;
}

async function measure(bench: Bench, peer: Peer, images: readonly Image[]): Promise<void> {
  const action = async (subject: Subject): Promise<void> => {
    await warmHits(bench, subject);
    await bench.sample(idle, peer, () => hitRow(bench, subject));
    await bench.sample(busy, peer, () => beside(bench, subject, images));
  };
  await withCold(bench, peer, bench.upstream.route('slow'), action, { warmUp: 'small' });
}

export const busyHits: Scenario = {
  name: 'busy-hits',
  title: 'Hits while ten fills run',
  about:
    '400 requests a second for blobs of 64 KiB, each timed from the moment it was due. The fills come from a port that ' +
    'gives each connection 5 MB/s and no ranges.',
  prepare(content) {
    warmUpImage(content, 'small');
    hotImage(content);
    fillImages(content);
  },
  async run(bench) {
    const images = fillImages(bench.content);
    await bench.rounds(bench.caches, (peer) => bench.guard([idle, busy], peer, () => measure(bench, peer, images)), []);
  },
};
