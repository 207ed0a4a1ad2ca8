import { describe, expect, it } from 'vitest';
import { CacheError } from '../../src/fill/contract/errors.ts';
import { byAnybody } from '../../src/store/contract/origin.ts';
import { Gate, eventually, patienceMs, within } from '../support/gate.ts';
import { BlobUpstream } from './support/blob-upstream.ts';
import { Engine, content, repository } from './support/engine.ts';

const mib = 1024 * 1024;
const blob = content(3 * mib + 17);
const never = new AbortController().signal;

describe('a store in trouble', () => {
  it('that cannot open what it has just created is passed by, and keeps nothing open', async () => {
    const upstream = new BlobUpstream(blob);
    await using engine = new Engine([upstream]);
    engine.store.failsOpenReader = true;
    const view = await engine.view(upstream);
    expect(view.outcome.kind).toBe('bypass');
    expect((await engine.read(view)).digest).toBe(upstream.digest);
    view.close();
    await engine.settled();
    expect(engine.store.openIngests).toBe(0);
    expect(engine.results).toEqual(['bypassed']);
  });

  it('that cannot even look is passed by', async () => {
    const upstream = new BlobUpstream(blob);
    await using engine = new Engine([upstream]);
    engine.metadata.links.add({ upstream: 'lab', repository: repository('a/b') }, upstream.digest, 'blob', {
      origin: byAnybody,
    });
    engine.store.failsStat = true;
    engine.store.isSick = true;
    expect((await engine.get(upstream)).digest).toBe(upstream.digest);
  });

  it('that cannot remove its oldest blob removes the next one', async () => {
    const upstreams = [1, 2, 3].map((seed) => new BlobUpstream(content(2 * mib, seed), { key: `u${seed}` }));
    await using engine = new Engine(upstreams, { maxBytes: 7 * mib });
    const [oldest] = upstreams;
    for (const upstream of upstreams) {
      engine.store.unremovable = oldest?.digest;
      expect((await engine.get(upstream)).digest).toBe(upstream.digest);
      await eventually(() => engine.fills.size === 0);
      await engine.clock.advance(1000);
    }
    expect(upstreams.map(({ digest }) => engine.store.blobs.has(digest))).toEqual([true, false, true]);
  });

  it('that cannot read back what it wrote ends the transfer at once', async () => {
    const upstream = new BlobUpstream(blob);
    const held = new Gate('held');
    upstream.script = (_, index) =>
      index === 0 ? { beforeChunk: (at) => (at >= 2 * mib ? held.pass() : undefined) } : {};
    await using engine = new Engine([upstream]);
    const ingest = await engine.store.createIngest({ digest: upstream.digest, upstream: upstream.key });
    await ingest.write([blob.subarray(0, mib)], 0);
    await ingest.keep([{ start: 0, end: mib }], blob.byteLength);
    engine.store.beforeRead = async () => {
      await held.arrived();
      throw new Error('input/output error');
    };
    const client = engine.get(upstream).catch((error: unknown) => error);
    await client;
    held.open();
    await engine.settled();
    expect(upstream.sentBytes).toBeLessThan(2 * mib);
  });
});

describe('a suspect blob', () => {
  it('that another fill has replaced meanwhile is not taken for the wrong one', async () => {
    // One slice, so that the second one does not wait for the turn of the first.
    const right = content(800_000);
    const one = new BlobUpstream(right, { key: 'one' });
    const two = new BlobUpstream(right, { key: 'two' });
    await using engine = new Engine([one, two]);
    for (const { key } of [one, two])
      engine.metadata.links.add({ upstream: key, repository: repository('a/b') }, one.digest, 'blob', {
        origin: byAnybody,
      });
    engine.store.blobs.set(one.digest, content(right.byteLength, 9));
    engine.store.suspects.add(one.digest);
    const slow = new Gate('the second look');
    engine.store.beforeRead = (reader) => (reader === 2 ? slow.pass() : undefined);
    const first = engine.get(one).catch(() => undefined);
    const second = engine.get(two).catch(() => undefined);
    await slow.arrived();
    await first;
    await eventually(() => engine.fills.size === 1);
    expect(engine.store.blobs.get(one.digest)).toEqual(right);
    slow.open();
    await second;
    await engine.settled();
    expect(engine.store.quarantined).toHaveLength(1);
    expect(engine.store.blobs.get(one.digest)).toEqual(right);
  });
});

describe('the right to read', () => {
  it('is asked for before bytes of a partial that nobody had listed are given out', async () => {
    const upstream = new BlobUpstream(blob);
    await using engine = new Engine([upstream]);
    const ingest = await engine.store.createIngest({ digest: upstream.digest, upstream: upstream.key });
    await ingest.write([blob.subarray(0, mib)], 0);
    await ingest.keep([{ start: 0, end: mib }], blob.byteLength);
    engine.store.hidesPartials = true;
    engine.forbidden.add('evil/own');
    const head = new Gate('head');
    upstream.script = () => ({ beforeHead: head.pass() });
    await expect(engine.view(upstream, { repository: 'evil/own' })).rejects.toMatchObject({ kind: 'denied' });
    head.open();
  });

  it('is asked for when the blob was sealed through somebody else a moment ago', async () => {
    const one = new BlobUpstream(blob, { key: 'one' });
    const two = new BlobUpstream(blob, { key: 'two' });
    await using engine = new Engine([one, two]);
    engine.forbidden.add('evil/own');
    let looks = 0;
    engine.store.afterLook = async () => {
      looks += 1;
      // The question whether it is elsewhere is answered with "no"; when the fill looks, it is there.
      if (looks === 1) await engine.store.put(one.digest, blob);
    };
    await expect(engine.view(two, { repository: 'evil/own' })).rejects.toMatchObject({ kind: 'denied' });
    expect(looks).toBeGreaterThanOrEqual(2);
  });
});

describe('a blob that is passed through', () => {
  it('gives its connection back when the upstream declares nothing at all', async () => {
    const upstream = new BlobUpstream(blob);
    upstream.script = () => ({ bytes: new Uint8Array(0) });
    await using engine = new Engine([upstream]);
    engine.store.isSick = true;
    await expect(engine.view(upstream)).rejects.toBeInstanceOf(CacheError);
    expect(upstream.held.size).toBe(0);
  });

  it('gives its connection back when the client leaves before the first byte', async () => {
    const upstream = new BlobUpstream(blob);
    await using engine = new Engine([upstream]);
    engine.store.isSick = true;
    const view = await engine.view(upstream);
    const reader = await view.open({ start: 0, end: blob.byteLength }, never);
    reader.close();
    view.close();
    expect(upstream.held.size).toBe(0);
  });

  it('lets a client go while the upstream is silent', async () => {
    const upstream = new BlobUpstream(blob);
    const silence = new Gate('silence');
    upstream.script = () => ({ beforeChunk: () => silence.pass() });
    await using engine = new Engine([upstream]);
    engine.store.isSick = true;
    const view = await engine.view(upstream);
    const control = new AbortController();
    const reader = await view.open({ start: 0, end: blob.byteLength }, control.signal);
    const waiting = Promise.resolve(reader.readable(0, control.signal));
    await silence.arrived();
    control.abort(new Error('gone'));
    await expect(within(patienceMs, waiting, () => 'the client to be let go')).rejects.toThrow('gone');
    reader.close();
    view.close();
    silence.open();
    await eventually(() => upstream.openBodies === 0);
  });
});
