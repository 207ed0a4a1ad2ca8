import { describe, expect, it } from 'vitest';
import { StoreError } from '../../src/store/contract/blob-store.ts';
import { Gate, eventually } from '../support/gate.ts';
import { BlobUpstream } from './support/blob-upstream.ts';
import { Engine, content } from './support/engine.ts';

const mib = 1024 * 1024;
const blob = content(3 * mib + 17);

async function keepPartial(engine: Engine, upstream: BlobUpstream, bytes: Buffer): Promise<void> {
  const ingest = await engine.store.createIngest({ digest: upstream.digest, upstream: upstream.key });
  await ingest.write([bytes], 0);
  await ingest.keep([{ start: 0, end: bytes.byteLength }], undefined);
}

describe('room in the store', () => {
  it('is reserved a little ahead of what is written, whatever size is claimed', async () => {
    const upstream = new BlobUpstream(blob);
    const held = new Gate('held');
    upstream.script = () => ({
      declare: 40 * 1024 * mib,
      beforeChunk: (position) => (position >= mib ? held.pass() : undefined),
    });
    await using engine = new Engine([upstream]);
    const client = engine.get(upstream).catch((error: unknown) => error);
    await held.arrived();
    expect(engine.space.usedBytes()).toBeGreaterThanOrEqual(mib);
    expect(engine.space.usedBytes()).toBeLessThanOrEqual(256 * mib);
    await engine.fills.close(AbortSignal.abort());
    await client;
    // What was promised is given back with the end of the fill; what was written stays counted.
    expect(engine.space.usedBytes()).toBe(mib);
  });

  it('is made by evicting once when the disk says that it is full, and the write is repeated', async () => {
    const old = new BlobUpstream(content(2 * mib, 5), { key: 'old' });
    const upstream = new BlobUpstream(blob);
    await using engine = new Engine([old, upstream], { maxBytes: 100 * mib });
    await engine.get(old);
    await eventually(() => engine.fills.size === 0);
    let refused = 0;
    engine.store.beforeWrite = () => {
      if (refused > 0) return undefined;
      refused += 1;
      engine.store.freeBytes = 0;
      throw new StoreError('full', 'no space left on device');
    };
    expect((await engine.get(upstream)).digest).toBe(upstream.digest);
    await engine.settled();
    expect(engine.results).toEqual(['stored', 'stored']);
    expect(engine.store.blobs.has(old.digest)).toBe(false);
    expect(upstream.asked).toHaveLength(1);
  });

  it('is taken from partials before any blob', async () => {
    const cached = new BlobUpstream(content(2 * mib, 5), { key: 'cached' });
    const partial = new BlobUpstream(content(4 * mib, 6), { key: 'partial' });
    const upstream = new BlobUpstream(blob);
    await using engine = new Engine([cached, partial, upstream], { maxBytes: 9 * mib });
    await engine.get(cached);
    await keepPartial(engine, partial, content(2 * mib, 6));
    expect((await engine.get(upstream)).digest).toBe(upstream.digest);
    await engine.settled();
    expect(engine.store.kept.size).toBe(0);
    expect(engine.store.blobs.size).toBe(2);
  });
});

describe('a write that is late', () => {
  it('has ended before its ingest is put away, and counts as written', async () => {
    const upstream = new BlobUpstream(blob);
    await using engine = new Engine([upstream]);
    const disk = new Gate('disk');
    engine.store.beforeWrite = () => disk.pass();
    let isPutAway = false;
    engine.store.beforeKeep = () => {
      isPutAway = true;
      return undefined;
    };
    const client = engine.get(upstream).catch((error: unknown) => error);
    await disk.arrived();
    const closing = engine.fills.close(AbortSignal.abort());
    await new Promise((resolve) => setImmediate(resolve));
    expect(isPutAway).toBe(false);
    disk.open();
    await closing;
    await client;
    const [kept] = engine.store.kept.values();
    const end = kept?.written[0]?.end ?? 0;
    expect(end).toBeGreaterThan(0);
    expect(kept?.bytes.subarray(0, end)).toEqual(blob.subarray(0, end));
  });
});

describe('a client that hears nothing', () => {
  it('for 62 s is told so, while the fill goes on', async () => {
    const upstream = new BlobUpstream(blob);
    const head = new Gate('head');
    upstream.script = () => ({ beforeHead: head.pass() });
    await using engine = new Engine([upstream]);
    const client = engine.view(upstream).catch((error: unknown) => error);
    await head.arrived();
    await engine.clock.advance(61_900);
    expect(engine.fills.size).toBe(1);
    await engine.clock.advance(100);
    expect(await client).toMatchObject({ kind: 'timeout' });
    head.open();
    await engine.settled();
    expect(engine.store.blobs.get(upstream.digest)).toEqual(blob);
    expect(upstream.asked).toHaveLength(1);
  });
});
