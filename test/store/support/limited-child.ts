/** Uses a cache root under a resource limit set by its parent, and says how each step ended. */
import { systemClock } from '../../../src/lib/clock.ts';
import { digestOf } from '../../../src/oci/digest.ts';
import { type OpenBlob, StoreError } from '../../../src/store/contract/blob-store.ts';
import { openStore } from '../../../src/store/open.ts';
import { say } from './child.ts';
import { RecordingLogger } from './harness.ts';

const [root = '', scenario = ''] = process.argv.slice(2);
const logger = new RecordingLogger();
const opened = await openStore({
  root,
  partialTtlMs: 86_400_000,
  clock: systemClock,
  logger,
});
const { store, metadata } = opened;
await opened.recovered;
const small = Buffer.from('small');
await store.put(digestOf(small), small);

async function outcome(step: () => Promise<unknown>): Promise<string> {
  try {
    await step();
    return 'done';
  } catch (error) {
    if (error instanceof StoreError) return error.kind;
    throw error;
  }
}

async function hit(): Promise<boolean> {
  const bytes = await store.readAll(digestOf(small), 100);
  return bytes !== undefined && small.equals(bytes);
}

if (scenario === 'file size') {
  const large = Buffer.alloc(4 * 1024 * 1024, 'x');
  const ingest = await store.createIngest({ digest: digestOf(large), upstream: 'u' });
  say('large', { write: await outcome(() => ingest.write([large], 0)) });
  // What fits can still be kept, by the caller's choice.
  say('kept', { keep: await outcome(() => ingest.keep([{ start: 0, end: 1000 }], large.length)) });
  say('put', { put: await outcome(() => store.put(digestOf(large), large)), usage: store.usage() });
  for (let i = 0; i < 400; i++) {
    metadata.lists.put(`key ${i}`, { body: 'x'.repeat(10_000), checkedAtMs: i });
    if (i % 20 === 0) metadata.flush();
  }
  metadata.flush();
  say('catalog', { complaints: logger.complaints(), hit: await hit() });
  const other = Buffer.from('other');
  say('after', { put: await outcome(() => store.put(digestOf(other), other)) });
} else {
  const open: OpenBlob[] = [];
  const many = Array.from({ length: 60 }, (_, i) => Buffer.from(`blob ${i}`));
  for (const bytes of many) await store.put(digestOf(bytes), bytes);
  const outcomes: string[] = [];
  for (const bytes of many) {
    outcomes.push(
      await outcome(async () => {
        const blob = await store.open(digestOf(bytes));
        if (blob !== undefined) open.push(blob);
      }),
    );
  }
  say('opened', { kinds: [...new Set(outcomes)] });
  say('starved', { ingest: await outcome(() => store.createIngest({ digest: digestOf('y'), upstream: 'u' })) });
  for (const blob of open) await blob.close();
  say('after', { put: await outcome(() => store.put(digestOf('z'), Buffer.from('z'))), hit: await hit() });
}
await opened.close();
say('closed', { complaints: logger.complaints() });
