/**
 * One blob from its first byte to its commit, then a tag, then an orderly stop; says how each step ended. Runs under
 * strace, which makes one system call fail or kills the process at it.
 */
import { systemClock } from '../../../src/lib/clock.ts';
import { digestOf } from '../../../src/oci/digest.ts';
import { StoreError } from '../../../src/store/contract/blob-store.ts';
import { openStore } from '../../../src/store/open.ts';
import { randomBytesOf } from '../../support/byte-source.ts';
import { say } from '../../store/support/child.ts';
import { RecordingLogger, tagKey } from '../../store/support/harness.ts';

const [root = '', seed = ''] = process.argv.slice(2);
const bytes = randomBytesOf(100_000, seed);
const digest = digestOf(bytes);
const logger = new RecordingLogger();
try {
  const { store, metadata, ...opened } = await openStore({
    root,
    partialTtlMs: 86_400_000,
    clock: systemClock,
    logger,
  });
  await opened.recovered;
  say('opened');
  try {
    const ingest = await store.createIngest({ digest, upstream: 'u' });
    try {
      await ingest.write([bytes.subarray(0, 60_000)], 0);
      await ingest.sync([{ start: 0, end: 60_000 }], bytes.length);
      say('synced');
      await ingest.write([bytes.subarray(60_000)], 60_000);
      await ingest.adopt(bytes.length);
      say('adopted');
    } catch (error) {
      if (ingest.path !== undefined) await ingest.abort('given up');
      throw error;
    }
    const tag = { digest, mediaType: 'a/b', sizeBytes: bytes.length, checkedAtMs: Date.now(), isDenied: false };
    metadata.tags.put(tagKey('a', 'v1'), tag);
    metadata.flush();
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    say('failed', { kind: error.kind });
  }
  await opened.close();
  say('closed', { complaints: logger.complaints() });
} catch (error) {
  if (!(error instanceof StoreError)) throw error;
  say('refused', { kind: error.kind, message: error.message });
}
