/**
 * Fills a cache root as fast as it can until it is killed, and says what it was promised: `synced` after a sync has
 * resolved, `adopted` after an adopt has. The bytes of blob number n can be made again from n.
 */
import { systemClock } from '../../../src/lib/clock.ts';
import { silentLogger } from '../../../src/lib/log.ts';
import { digestOf } from '../../../src/oci/digest.ts';
import type { Interval } from '../../../src/store/contract/blob-store.ts';
import { openStore } from '../../../src/store/open.ts';
import { randomBytesOf } from '../../support/byte-source.ts';
import { say } from './child.ts';
import { blobSize } from './fill-content.ts';

const [root = '', first = '0'] = process.argv.slice(2);
const { store, metadata } = await openStore({
  root,
  partialTtlMs: 86_400_000,
  clock: systemClock,
  logger: silentLogger,
});
let next = Number(first);
say('ready');

async function fill(): Promise<void> {
  for (;;) {
    const number = next++;
    const bytes = randomBytesOf(blobSize(number), `fill ${number}`);
    const digest = digestOf(bytes);
    const ingest = await store.createIngest({ digest, upstream: 'u' });
    const pieceBytes = 1 + (number % 7) * 5000;
    const written: Interval[] = [];
    for (let start = 0; start < bytes.length; start += pieceBytes) {
      const end = Math.min(bytes.length, start + pieceBytes);
      await ingest.write([bytes.subarray(start, end)], start);
      written.push({ start, end });
      if (written.length % 3 !== 0) continue;
      const synced = [...written];
      await ingest.sync(synced, bytes.length);
      say('synced', { number, bytes: synced.at(-1)?.end });
    }
    await ingest.adopt(bytes.length);
    say('adopted', { number });
    metadata.blobs.touch(digest);
    if (number % 10 === 0) await store.remove(digest);
  }
}

await Promise.all([fill(), fill(), fill(), fill()]);
