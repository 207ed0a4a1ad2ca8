import { describe, expect, it } from 'vitest';
import { BrokenBodyError } from '../../src/fill/contract/errors.ts';
import { StoreError } from '../../src/store/contract/blob-store.ts';
import { byAnybody } from '../../src/store/contract/origin.ts';
import { Gate, eventually } from '../support/gate.ts';
import { BlobUpstream } from './support/blob-upstream.ts';
import { Engine, content } from './support/engine.ts';

const mib = 1024 * 1024;
const blob = content(3 * mib + 17);

describe('a broken upstream body', () => {
  it('is continued with closed ranges while every client sees one unbroken body', async () => {
    const upstream = new BlobUpstream(blob);
    const cuts = [100_000, 700_001, 1, 900_000, 65_536];
    upstream.script = (_, index) => (cuts[index] === undefined ? {} : { cutAfter: cuts[index] });
    await using engine = new Engine([upstream]);
    const all = await Promise.all(Array.from({ length: 20 }, () => engine.get(upstream)));
    for (const received of all) expect(received.digest).toBe(upstream.digest);
    expect(engine.counts.resumed).toBe(5);
    expect(upstream.sentBytes).toBe(blob.byteLength);
    const [first, ...rest] = upstream.asked.map(({ range }) => range);
    expect(first).toBe('whole');
    let position = 0;
    for (const [index, range] of rest.entries()) {
      position += cuts[index] ?? 0;
      expect(range).toEqual([position, blob.byteLength]);
    }
  });

  it('is continued when every connection is cut after a third of the blob', async () => {
    const upstream = new BlobUpstream(blob);
    upstream.script = () => ({ cutAfter: Math.floor(blob.byteLength / 3) });
    await using engine = new Engine([upstream]);
    expect((await engine.get(upstream)).digest).toBe(upstream.digest);
    expect(upstream.sentBytes).toBe(blob.byteLength);
  });

  it('is given up after five attempts in a row that add nothing, and resumed by the next request', async () => {
    const upstream = new BlobUpstream(blob);
    upstream.script = (_, index) => ({ cutAfter: index === 0 ? mib : 0 });
    await using engine = new Engine([upstream]);
    const client = engine.get(upstream).catch((error: unknown) => error);
    await eventually(async () => {
      await engine.clock.advance(5000);
      return engine.fills.size === 0;
    });
    expect(await client).toBeInstanceOf(BrokenBodyError);
    expect(upstream.asked).toHaveLength(1 + 5);
    upstream.script = () => ({});
    expect((await engine.get(upstream)).digest).toBe(upstream.digest);
    expect(upstream.asked.at(-1)?.range).toEqual([mib, blob.byteLength]);
    expect(upstream.sentBytes).toBe(blob.byteLength);
  });

  it('is continued by dropping the beginning when the upstream ignores Range', async () => {
    const upstream = new BlobUpstream(blob);
    upstream.script = (_, index) => (index === 0 ? { cutAfter: mib } : { ignoreRange: true });
    await using engine = new Engine([upstream]);
    expect((await engine.get(upstream)).digest).toBe(upstream.digest);
    expect(upstream.asked.map(({ range }) => range)).toEqual(['whole', [mib, blob.byteLength], 'whole']);
  });

  it('treats a refused range as a word about ranges, and asks for the whole before giving up', async () => {
    const upstream = new BlobUpstream(blob);
    upstream.script = ({ range }, index) =>
      index === 0 ? { cutAfter: mib } : range === undefined ? {} : { fail: upstream.error('rangeRefused') };
    await using engine = new Engine([upstream]);
    expect((await engine.get(upstream)).digest).toBe(upstream.digest);
    expect(upstream.asked.map(({ range }) => range)).toEqual(['whole', [mib, blob.byteLength], 'whole']);
  });

  it('avoids an endpoint that breaks without giving a byte, and one that contradicts itself about the size', async () => {
    const upstream = new BlobUpstream(blob);
    upstream.script = ({ avoidEndpoints }, index) => {
      if (index === 0) return { cutAfter: mib, endpoint: 'one' };
      if (avoidEndpoints?.has('two') !== true) return { declare: blob.byteLength + 5, endpoint: 'two' };
      if (!avoidEndpoints.has('three')) return { cutAfter: 0, endpoint: 'three' };
      return { endpoint: 'four' };
    };
    await using engine = new Engine([upstream]);
    const client = engine.get(upstream);
    await eventually(async () => {
      await engine.clock.advance(5000);
      return engine.fills.size === 0;
    });
    expect((await client).digest).toBe(upstream.digest);
    expect(engine.rejected).toContain('size-contradiction');
    expect(upstream.asked.at(-1)?.avoided).toEqual(expect.arrayContaining(['two', 'three']));
  });

  it('starts a new attempt once when bytes of several transfers do not fit together', async () => {
    const upstream = new BlobUpstream(blob);
    const gate = new Gate('second transfer');
    upstream.script = (_, index) => {
      if (index === 0) return { cutAfter: mib };
      if (index === 1) return { bytes: content(blob.byteLength, 7), endpoint: 'bad', beforeHead: gate.pass() };
      return {};
    };
    await using engine = new Engine([upstream]);
    const started = engine.get(upstream).catch((error: unknown) => error);
    await gate.arrived();
    const idle = await engine.view(upstream);
    const reader = await idle.open({ start: 0, end: idle.sizeBytes }, new AbortController().signal);
    gate.open();
    expect(await started).toBeInstanceOf(BrokenBodyError);
    await engine.settled();
    // The one that had been given no byte moved on to the new attempt.
    const end = await reader.readable(0, new AbortController().signal);
    const bytes = Buffer.alloc(end);
    for (let at = 0; at < end;) at += await reader.read(bytes, at, end - at, at);
    expect(bytes.equals(blob)).toBe(true);
    reader.close();
    idle.close();
    expect(engine.store.blobs.get(upstream.digest)).toEqual(blob);
    expect(upstream.asked.at(-1)?.range).toBe('whole');
  });

  it('asks an endpoint that sent wrong bytes last for ten minutes', async () => {
    const upstream = new BlobUpstream(blob);
    upstream.script = (_, index) => (index === 0 ? { bytes: content(blob.byteLength, 5), endpoint: 'bad' } : {});
    await using engine = new Engine([upstream]);
    await expect(engine.get(upstream)).rejects.toBeInstanceOf(BrokenBodyError);
    await eventually(() => engine.fills.size === 0);
    expect((await engine.get(upstream)).digest).toBe(upstream.digest);
    expect(upstream.asked[1]?.avoided).toEqual(['bad']);
    await engine.settled();
  });
});

describe('a partial', () => {
  it('is kept when nobody waits and the operator asked for that, and continued by the next client', async () => {
    const large = content(4 * mib);
    const upstream = new BlobUpstream(large);
    const held = new Gate('held');
    upstream.script = () => ({ beforeChunk: (position) => (position >= mib ? held.pass() : undefined) });
    await using engine = new Engine([upstream], { onAbandon: 'keep' });
    // Little is left to bring, so it is finished all the same.
    await engine.get(upstream, { stopAt: 1000 });
    await engine.clock.advance(31_000);
    expect(engine.fills.size).toBe(1);
    held.open();
    await eventually(() => engine.fills.size === 0);
    expect(engine.results).toEqual(['stored']);
  });

  it('stays when weir stops, and a client that comes meanwhile is told', async () => {
    const upstream = new BlobUpstream(blob);
    const held = new Gate('held');
    upstream.script = () => ({ beforeChunk: (position) => (position >= mib ? held.pass() : undefined) });
    await using engine = new Engine([upstream]);
    const client = engine.get(upstream).catch((error: unknown) => error);
    await held.arrived();
    await engine.fills.close(AbortSignal.abort());
    expect(await client).toBeInstanceOf(BrokenBodyError);
    expect(engine.store.kept.size).toBe(1);
    await expect(engine.view(upstream)).rejects.toMatchObject({ kind: 'shuttingDown' });
    expect(upstream.openBodies).toBe(0);
  });

  it('is readable at once when it is resumed, while its hash catches up', async () => {
    const upstream = new BlobUpstream(blob);
    upstream.script = (_, index) => ({ cutAfter: index === 0 ? 2 * mib : 0 });
    await using engine = new Engine([upstream]);
    const client = engine.get(upstream).catch((error: unknown) => error);
    await eventually(async () => {
      await engine.clock.advance(5000);
      return engine.fills.size === 0;
    });
    await client;
    const head = new Gate('head');
    upstream.script = () => ({ beforeHead: head.pass() });
    let seen = 0;
    const resumed = engine.get(upstream, { onBytes: (received) => void (seen = received) });
    await eventually(() => seen === 2 * mib);
    head.open();
    expect((await resumed).digest).toBe(upstream.digest);
  });
});

describe('a suspect blob', () => {
  it('is proved from its own file, without the upstream', async () => {
    const upstream = new BlobUpstream(blob);
    await using engine = new Engine([upstream]);
    engine.metadata.links.add({ upstream: 'lab', repository: 'a/b' as never }, upstream.digest, 'blob', {
      origin: byAnybody,
    });
    engine.store.blobs.set(upstream.digest, Buffer.from(blob));
    engine.store.suspects.add(upstream.digest);
    expect((await engine.get(upstream)).digest).toBe(upstream.digest);
    await engine.settled();
    expect(upstream.asked).toEqual([]);
    expect(engine.store.suspects.size).toBe(0);
    expect(engine.store.blobs.has(upstream.digest)).toBe(true);
  });

  it('is put into quarantine when it is wrong, and brought again', async () => {
    const upstream = new BlobUpstream(blob);
    await using engine = new Engine([upstream]);
    engine.metadata.links.add({ upstream: 'lab', repository: 'a/b' as never }, upstream.digest, 'blob', {
      origin: byAnybody,
    });
    const rotten = Buffer.from(blob);
    rotten[5] = (rotten[5] ?? 0) ^ 4;
    engine.store.blobs.set(upstream.digest, rotten);
    engine.store.suspects.add(upstream.digest);
    await expect(engine.get(upstream)).rejects.toBeInstanceOf(BrokenBodyError);
    await eventually(() => engine.fills.size === 0);
    expect(engine.store.quarantined.map(({ digest }) => digest)).toEqual([upstream.digest]);
    expect((await engine.get(upstream)).digest).toBe(upstream.digest);
  });

  it('that is wrong and cannot be put aside is brought again all the same', async () => {
    const upstream = new BlobUpstream(blob);
    await using engine = new Engine([upstream]);
    engine.metadata.links.add({ upstream: 'lab', repository: 'a/b' as never }, upstream.digest, 'blob', {
      origin: byAnybody,
    });
    engine.store.blobs.set(upstream.digest, Buffer.alloc(blob.byteLength));
    engine.store.suspects.add(upstream.digest);
    engine.store.quarantine = () => Promise.reject(new StoreError('sick', 'operation not permitted'));
    await expect(engine.get(upstream)).rejects.toBeInstanceOf(BrokenBodyError);
    await eventually(() => engine.fills.size === 0);
    expect(engine.results).toEqual(['stored']);
    expect(engine.store.blobs.get(upstream.digest)?.equals(blob)).toBe(true);
  });
});
