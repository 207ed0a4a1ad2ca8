/** How long weir takes to answer with many blobs in its root. Peers keep no catalog that they would have to open. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Bench, Scenario } from '../bench.ts';
import { BlobRoot } from '../support/blob-root.ts';
import type { Peer } from '../peers/peer.ts';
import { residentBytes } from '../support/proc.ts';
import type { Sample } from '../results.ts';

const MB = 1_000_000;

async function start(bench: Bench, peer: Peer, directory: string): Promise<Sample> {
  const began = performance.now();
  const subject = await bench.start(peer, { directory });
  const startMs = performance.now() - began;
  const residentMb = subject.pid === undefined ? 0 : residentBytes(subject.pid) / MB;
  await subject.stop();
  return { startMs, residentMb };
}

export const startUp: Scenario = {
  name: 'start',
  title: 'Start with many blobs',
  about:
    'From the start of the process to its first answer, to within 25 ms, Node’s own start included. The root holds ' +
    'tiny files and their rows in the catalog; file names are in the kernel’s cache, as after a restart.',
  prepare: () => undefined,
  async run(bench) {
    const directory = bench.workspace.directory('start');
    const peers = bench.peers.filter(({ kind }) => kind === 'weir');
    try {
      const root = await BlobRoot.create(join(directory, 'cache'));
      for (const count of bench.scale.storedBlobs) {
        bench.progress(`writing a root of ${count} blobs …`);
        root.growTo(count);
        const shown = count.toLocaleString('en-US');
        const [clean, killed] = [`start-${count}`, `start-${count}-killed`];
        await bench.rounds(peers, async (peer) => {
          await root.markClean();
          await bench.sample({ id: clean, title: `${shown} blobs` }, peer, () => start(bench, peer, directory));
          root.markUnclean();
          const row = { id: killed, title: `${shown} blobs, after a kill` };
          await bench.sample(row, peer, () => start(bench, peer, directory));
        });
      }
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  },
};
