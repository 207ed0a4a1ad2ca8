import { describe, expect, it } from 'vitest';
import { BrokenBodyError } from '../../src/fill/contract/errors.ts';
import { digestOf } from '../../src/oci/digest.ts';
import { Gate, eventually } from '../support/gate.ts';
import { BlobUpstream } from './support/blob-upstream.ts';
import { Engine, content } from './support/engine.ts';

const mib = 1024 * 1024;
const blob = content(3 * mib + 17);

describe('a store that cannot take a blob', () => {
  it('passes it through, hashed, and stores nothing', async () => {
    const upstream = new BlobUpstream(blob);
    await using engine = new Engine([upstream]);
    engine.store.isSick = true;
    const view = await engine.view(upstream);
    expect(view.outcome.kind).toBe('bypass');
    expect((await engine.read(view)).digest).toBe(upstream.digest);
    view.close();
    expect(engine.store.blobs.size).toBe(0);
    expect(upstream.asked).toHaveLength(1);
    expect(upstream.openBodies).toBe(0);
  });

  it('never completes a wrong body that it passes through', async () => {
    const upstream = new BlobUpstream(blob);
    upstream.script = () => ({ bytes: content(blob.byteLength, 4) });
    await using engine = new Engine([upstream]);
    engine.store.isSick = true;
    let most = 0;
    const client = engine.get(upstream, { onBytes: (received) => void (most = received) });
    await expect(client).rejects.toBeInstanceOf(BrokenBodyError);
    expect(most).toBeLessThan(blob.byteLength);
  });

  it('proves a small one before the head', async () => {
    const small = content(900);
    const upstream = new BlobUpstream(small);
    await using engine = new Engine([upstream]);
    engine.store.isSick = true;
    expect((await engine.get(upstream)).digest).toBe(upstream.digest);
    upstream.script = () => ({ bytes: content(900, 8) });
    await expect(engine.view(upstream)).rejects.toMatchObject({ kind: 'mismatch' });
  });

  it('passes ranges through', async () => {
    const upstream = new BlobUpstream(blob);
    await using engine = new Engine([upstream]);
    engine.store.isSick = true;
    const ranges = [{ kind: 'closed', first: mib, last: mib + 99 }] as const;
    expect((await engine.get(upstream, { ranges })).digest).toBe(digestOf(blob.subarray(mib, mib + 100)));
    const leading = [{ kind: 'closed', first: 0, last: 99 }] as const;
    expect((await engine.get(upstream, { ranges: leading })).digest).toBe(digestOf(blob.subarray(0, 100)));
    expect(upstream.openBodies).toBe(0);
  });

  it('full in the middle: nobody notices, whether fast or slow', async () => {
    const upstream = new BlobUpstream(blob);
    await using engine = new Engine([upstream]);
    engine.store.fullAt = 2 * mib;
    const slow = new Gate('slow reader');
    const slowClient = engine.get(upstream, { onBytes: (received) => (received < 200_000 ? slow.pass() : undefined) });
    const fastClients = Array.from({ length: 5 }, () => engine.get(upstream));
    for (const received of await Promise.all(fastClients)) expect(received.digest).toBe(upstream.digest);
    slow.open();
    expect((await slowClient).digest).toBe(upstream.digest);
    await eventually(() => engine.fills.size === 0);
    expect(engine.store.blobs.size).toBe(0);
    expect(engine.store.openReaders).toBe(0);
    expect(upstream.openBodies).toBe(0);
    // Each of those who reached the frozen end continued from there, not from the start.
    expect(upstream.asked.slice(1).every(({ range }) => range !== 'whole' && range[0] >= mib)).toBe(true);
    engine.store.fullAt = Infinity;
    expect((await engine.get(upstream)).digest).toBe(upstream.digest);
    await engine.settled();
    expect(engine.store.blobs.get(upstream.digest)).toEqual(blob);
  });

  it('full in the middle: a wrong rest is never completed', async () => {
    const upstream = new BlobUpstream(blob);
    upstream.script = (_, index) => (index === 0 ? {} : { bytes: content(blob.byteLength, 6) });
    await using engine = new Engine([upstream]);
    engine.store.fullAt = mib;
    await expect(engine.get(upstream)).rejects.toBeInstanceOf(BrokenBodyError);
  });

  it('that is smaller than one blob streams it without evicting the others', async () => {
    const small = content(mib, 3);
    const first = new BlobUpstream(small, { key: 'first' });
    const upstream = new BlobUpstream(blob);
    await using engine = new Engine([first, upstream], { maxBytes: 3 * mib + mib / 2 });
    expect((await engine.get(first)).digest).toBe(first.digest);
    await eventually(() => engine.fills.size === 0);
    expect((await engine.get(upstream)).digest).toBe(upstream.digest);
    expect(engine.store.blobs.has(first.digest)).toBe(true);
    expect(engine.counts.evicted).toBe(0);
  });

  it('evicts the least recently used blobs to make room', async () => {
    const upstreams = [1, 2, 3, 4].map((seed) => new BlobUpstream(content(2 * mib, seed), { key: `u${seed}` }));
    await using engine = new Engine(upstreams, { maxBytes: 9 * mib });
    for (const upstream of upstreams) {
      expect((await engine.get(upstream)).digest).toBe(upstream.digest);
      await eventually(() => engine.fills.size === 0);
      await engine.clock.advance(1000);
      const [first] = upstreams;
      if (first !== undefined) await engine.get(first, { stopAt: 1 });
    }
    const kept = upstreams.map(({ digest }) => engine.store.blobs.has(digest));
    expect(kept[0]).toBe(true);
    expect(kept[3]).toBe(true);
    expect(kept.slice(1, 3)).toContain(false);
    expect(engine.space.usedBytes()).toBeLessThanOrEqual(9 * mib);
  });

  it('keeps a proved blob readable when it cannot be adopted', async () => {
    const upstream = new BlobUpstream(blob);
    await using engine = new Engine([upstream]);
    engine.store.failsAdopt = true;
    expect((await engine.get(upstream)).digest).toBe(upstream.digest);
    await eventually(() => engine.fills.size === 0);
    expect(engine.results).toEqual(['bypassed']);
    expect(engine.store.blobs.size).toBe(0);
  });
});
