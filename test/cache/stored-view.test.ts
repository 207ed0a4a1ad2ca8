import { describe, expect, it } from 'vitest';
import { StoredView } from '../../src/cache/stored-view.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { silentLogger } from '../../src/lib/log.ts';
import { digestOf } from '../../src/oci/digest.ts';
import { openStore } from '../../src/store/open-store.ts';
import { tempDirectory } from '../support/temp.ts';

describe('a stored blob', () => {
  it('names the descriptor of its file to senders', async () => {
    await using temp = await tempDirectory('stored-view');
    const opened = await openStore({
      root: temp.path,
      partialTtlMs: 1000,
      clock: systemClock,
      logger: silentLogger,
    });
    const bytes = Buffer.from('the bytes');
    const { store } = opened;
    const info = await store.put(digestOf(bytes), bytes);
    const view = new StoredView({ store, info, outcome: { kind: 'hit' }, refill: () => Promise.reject(new Error()) });
    const signal = new AbortController().signal;
    const reader = await view.open({ start: 0, end: bytes.length }, signal);
    const blob = await store.open(info.digest);
    expect(reader.descriptor).toBeGreaterThan(2);
    expect(reader.descriptor).toBe(blob?.descriptor);
    await blob?.close();
    reader.close();
    view.close();
    await opened.close();
  });
});
