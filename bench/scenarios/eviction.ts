/** Hits while the cache is full and every miss pushes something out. */
import { spawnSync } from 'node:child_process';
import type { Bench, Row, Scenario } from '../bench.ts';
import type { Peer, Subject } from '../peers/peer.ts';
import type { Sample } from '../results.ts';
import { checkRunning } from '../support/check.ts';
import { blobPath, type Content, type Image } from '../support/content.ts';
import { hitRow, hotImage, warmHits } from './hits.ts';
import { warmUpImage, withCold } from './cold.ts';

const maxBytes = 512_000_000;
const churned = { count: 48, bytes: 32_000_000, connections: 4, bytesPerSecond: 50_000_000 } as const;

const idle: Row = { id: 'eviction-idle', title: 'idle' };
const evicting: Row = { id: 'eviction', title: 'evicting' };

function churnImages(content: Content): readonly Image[] {
  return Array.from({ length: churned.count }, (_, index) => content.image(`churn-${index}`, [churned.bytes]));
}

/** What the directory takes on disk. */
function allocatedMb(directory: string): number {
  const { stdout } = spawnSync('du', ['-s', '--block-size=1', directory], { encoding: 'utf8' });
  return Number(stdout.split('\t')[0]) / 1e6;
}

/** Downloads that never fit, for as long as hits are measured. */
async function churn(bench: Bench, subject: Subject, images: readonly Image[]): Promise<Sample> {
  const urls = images.map((image) => `${subject.origin}${blobPath(image)}`);
  const options = { connections: churned.connections, step: churned.connections, rate: churned.bytesPerSecond };
  // First until it is full, then beside the hits.
  checkRunning(await bench.client.get(urls, { ...options, seconds: 4 }));
  const running = bench.client.get(urls, { ...options, seconds: bench.scale.seconds + 1 });
  const { p50Ms, p99Ms } = await hitRow(bench, subject);
  const report = await running;
  checkRunning(report);
  return { p50Ms, p99Ms, diskMb: allocatedMb(subject.directory) };
}

async function measure(bench: Bench, peer: Peer, images: readonly Image[]): Promise<void> {
  await withCold(
    bench,
    peer,
    bench.upstream.route('plain'),
    async (subject) => {
      await warmHits(bench, subject);
      await bench.sample(idle, peer, () => hitRow(bench, subject));
      await bench.sample(evicting, peer, () => churn(bench, subject, images));
    },
    { maxBytes },
  );
}

export const eviction: Scenario = {
  name: 'eviction',
  title: 'Hits while the cache evicts',
  about:
    'A cache of 512 MB at most; four clients download 48 blobs of 32 MB in turn, at 50 MB/s each, while 400 requests a ' +
    'second for blobs of 64 KiB are answered. Peers that cannot bound their cache are left out.',
  prepare(content) {
    warmUpImage(content);
    hotImage(content);
    churnImages(content);
  },
  async run(bench) {
    const images = churnImages(bench.content);
    const bounded = bench.peers.filter(({ isBounded }) => isBounded);
    await bench.rounds(bounded, (peer) => bench.guard([idle, evicting], peer, () => measure(bench, peer, images)), []);
  },
};
