import { describe, expect, it } from 'vitest';
import { Transfers } from '../../src/upstream/limits/transfers.ts';
import { Gate, eventually } from '../support/gate.ts';
import { BlobUpstream } from './support/blob-upstream.ts';
import { Engine, content } from './support/engine.ts';

const mib = 1024 * 1024;

/** Blobs of one registry, each of an upstream of its own here, whose bodies stop after half a mebibyte until `go`. */
function registry(count: number, connections: number) {
  const transfers = new Transfers('lab', connections);
  const go = new Gate('go');
  const blobs = Array.from({ length: count }, (_, index) => {
    const blob = new BlobUpstream(content(mib, index + 1), { key: `lab${index}`, transfers });
    blob.script = () => ({ beforeChunk: (position) => (position >= mib / 2 ? go.pass() : undefined) });
    return blob;
  });
  return { blobs, go, engine: new Engine(blobs) };
}

describe('a fill that waits for its first transfer', () => {
  it('has no file, and stops without having asked when its last client leaves', async () => {
    const { blobs, go, engine } = registry(2, 1);
    await using _ = engine;
    const [running, waiting] = blobs as [BlobUpstream, BlobUpstream];
    const first = engine.get(running);
    await go.arrived();
    const control = new AbortController();
    const left = engine.get(waiting, { signal: control.signal, client: 'a' }).catch((error: unknown) => error);
    await eventually(() => engine.fills.get(waiting.key, waiting.digest)?.isQueued === true);
    expect(engine.store.openIngests).toBe(1);
    control.abort(new Error('left'));
    expect(await left).toMatchObject({ message: 'left' });
    await eventually(() => engine.fills.size === 1);
    go.open();
    expect((await first).digest).toBe(running.digest);
    expect([waiting.asked, engine.results]).toEqual([[], ['abandoned', 'stored']]);
    expect(engine.store.openReaders).toBe(0);
  });

  it('begins when it is its turn', async () => {
    const { blobs, go, engine } = registry(3, 1);
    await using _ = engine;
    const all = blobs.map((blob) => engine.get(blob));
    go.open();
    for (const [index, received] of (await Promise.all(all)).entries()) {
      expect(received.digest).toBe(blobs[index]?.digest);
    }
  });

  it('tells a client that has waited too long to come back, and not that the upstream is late', async () => {
    const { blobs, go, engine } = registry(2, 1);
    await using _ = engine;
    const [running, waiting] = blobs as [BlobUpstream, BlobUpstream];
    const first = engine.get(running);
    await go.arrived();
    const client = engine.view(waiting).catch((error: unknown) => error);
    await eventually(() => engine.fills.get(waiting.key, waiting.digest)?.isQueued === true);
    await engine.clock.advance(62_000);
    expect(await client).toMatchObject({ kind: 'exhausted', retryAfterMs: 5000 });
    go.open();
    await first;
    await engine.settled();
    expect(waiting.asked).toEqual([]);
  });
});

describe('fills that their clients have left', () => {
  it('go on if they are few, of one client fewer, and are kept as partials after 30 s if not', async () => {
    const { blobs, go, engine } = registry(12, 100);
    await using _ = engine;
    for (const [index, blob] of blobs.entries())
      await engine.get(blob, { stopAt: 1000, client: index < 10 ? 'a' : 'b' });
    await engine.clock.advance(29_000);
    expect(engine.fills.size).toBe(12);
    await engine.clock.advance(1_000);
    await eventually(() => engine.fills.size === 10);
    expect(engine.results).toEqual(['abandoned', 'abandoned']);
    const going = blobs.filter(({ key, digest }) => engine.fills.get(key, digest) !== undefined);
    expect(going.filter((blob) => blobs.indexOf(blob) < 10)).toHaveLength(8);
    // Somebody who comes back is a client like any other, and makes room.
    go.open();
    await engine.settled();
    expect(engine.results.filter((result) => result === 'stored')).toHaveLength(10);
    expect(engine.store.partials()).toHaveLength(2);
  });
});
