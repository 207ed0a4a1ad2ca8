import { describe, expect, it } from 'vitest';
import { BrokenBodyError } from '../../../src/fill/contract/errors.ts';
import { StoredView } from '../../../src/fill/readers/stored-view.ts';
import { systemClock } from '../../../src/lib/clock.ts';
import { silentLogger } from '../../../src/lib/log.ts';
import { digestOf } from '../../../src/oci/digest.ts';
import { openStore } from '../../../src/store/open.ts';
import { eventually } from '../../support/gate.ts';
import { tempDirectory } from '../../support/temp.ts';
import { BlobUpstream } from '../support/blob-upstream.ts';
import { Engine, content } from '../support/engine.ts';

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
    expect(reader.fd).toBeGreaterThan(2);
    expect(reader.fd).toBe(blob?.fd);
    await blob?.close();
    reader.close();
    view.close();
    await opened.close();
  });

  it('that was evicted never ends as a whole with bytes of one that is said to be larger', async () => {
    const upstream = new BlobUpstream(content(1024 * 1024));
    upstream.script = (_, index) => (index === 0 ? {} : { bytes: content(2 * 1024 * 1024, 7) });
    await using engine = new Engine([upstream]);
    await engine.get(upstream);
    await eventually(() => engine.fills.size === 0);
    const view = await engine.view(upstream);
    expect([view.isProved, view.sizeBytes]).toEqual([true, 1024 * 1024]);
    await engine.store.remove(upstream.digest);
    expect(await engine.read(view).catch((error: unknown) => error)).toBeInstanceOf(BrokenBodyError);
    view.close();
  });

  it('that is brought again is what it was found to be: no hit', async () => {
    const upstream = new BlobUpstream(content(1024 * 1024));
    await using engine = new Engine([upstream]);
    await engine.get(upstream);
    await eventually(() => engine.fills.size === 0);
    const view = await engine.view(upstream);
    expect([view.outcome.kind, view.isProved]).toEqual(['hit', true]);
    await engine.store.remove(upstream.digest);
    const { digest } = await engine.read(view);
    expect([view.outcome, digest]).toEqual([{ kind: 'miss', isStored: true }, upstream.digest]);
    view.close();
  });
});
