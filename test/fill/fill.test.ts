import { describe, expect, it } from 'vitest';
import { BrokenBodyError, CacheError } from '../../src/fill/contract/errors.ts';
import { UpstreamError } from '../../src/upstream/contract/errors.ts';
import { byAnybody } from '../../src/store/contract/origin.ts';
import { Gate, eventually } from '../support/gate.ts';
import { BlobUpstream } from './support/blob-upstream.ts';
import { Engine, content } from './support/engine.ts';

const mib = 1024 * 1024;
const blob = content(3 * mib + 17);

function expectClean(engine: Engine, upstream: BlobUpstream): void {
  expect(engine.fills.size).toBe(0);
  expect(upstream.openBodies).toBe(0);
  expect(engine.store.openIngests).toBe(0);
  expect(engine.store.openReaders).toBe(0);
}

describe('a fill', () => {
  it('costs one plain GET however many clients ask, and all of them get right bytes', async () => {
    const upstream = new BlobUpstream(blob);
    await using engine = new Engine([upstream]);
    const all = await Promise.all(Array.from({ length: 100 }, () => engine.get(upstream)));
    for (const received of all) expect(received.digest).toBe(upstream.digest);
    expect(upstream.asked.map(({ range }) => range)).toEqual(['whole']);
    expect(upstream.sentBytes).toBe(blob.byteLength);
    await engine.settled();
    expect(engine.store.blobs.get(upstream.digest)).toEqual(blob);
    expect(engine.results).toEqual(['stored']);
    expectClean(engine, upstream);
  });

  it('gives a late reader the bytes from 0 while the transfer is still under way', async () => {
    const upstream = new BlobUpstream(blob);
    const half = new Gate('half');
    upstream.script = () => ({ beforeChunk: (position) => (position >= 2 * mib ? half.pass() : undefined) });
    await using engine = new Engine([upstream]);
    const first = engine.get(upstream);
    await half.arrived();
    let seen = 0;
    const late = engine.get(upstream, { onBytes: (received) => void (seen = received) });
    await eventually(() => seen >= mib);
    half.open();
    expect((await first).digest).toBe(upstream.digest);
    expect((await late).digest).toBe(upstream.digest);
    expect(upstream.asked).toHaveLength(1);
  });

  it('finishes when every client has left, and the next request is a hit', async () => {
    const upstream = new BlobUpstream(blob);
    const middle = new Gate('middle');
    upstream.script = () => ({ beforeChunk: (position) => (position >= mib ? middle.pass() : undefined) });
    await using engine = new Engine([upstream]);
    await Promise.all(Array.from({ length: 10 }, () => engine.get(upstream, { stopAt: 1000 })));
    middle.open();
    await eventually(() => engine.fills.size === 0);
    expect(engine.store.blobs.get(upstream.digest)).toEqual(blob);
    const view = await engine.view(upstream);
    expect(view.outcome).toEqual({ kind: 'hit' });
    view.close();
    expect(upstream.asked).toHaveLength(1);
    expectClean(engine, upstream);
  });

  it('leaves a client when its signal aborts, and nobody else', async () => {
    const upstream = new BlobUpstream(blob);
    const head = new Gate('head');
    upstream.script = () => ({ beforeHead: head.pass() });
    await using engine = new Engine([upstream]);
    const control = new AbortController();
    const leaving = engine.get(upstream, { signal: control.signal });
    const staying = engine.get(upstream);
    await head.arrived();
    control.abort(new Error('gone'));
    await expect(leaving).rejects.toThrow('gone');
    head.open();
    expect((await staying).digest).toBe(upstream.digest);
  });

  it('withholds the last byte of a body until the digest is proved', async () => {
    const wrong = Buffer.from(blob);
    wrong[17] = (wrong[17] ?? 0) ^ 1;
    const upstream = new BlobUpstream(blob);
    upstream.script = () => ({ bytes: wrong });
    await using engine = new Engine([upstream]);
    let most = 0;
    const broken = engine.get(upstream, { onBytes: (received) => void (most = Math.max(most, received)) });
    await expect(broken).rejects.toBeInstanceOf(BrokenBodyError);
    expect(most).toBeLessThan(blob.byteLength);
    expect(engine.store.blobs.size).toBe(0);
    expect(engine.rejected).toContain('digest-mismatch');
    await eventually(() => engine.fills.size === 0);
    upstream.script = () => ({});
    expect((await engine.get(upstream)).digest).toBe(upstream.digest);
    expectClean(engine, upstream);
  });

  it('answers an honest refusal for a small body that is wrong, and never a head', async () => {
    const small = content(1000);
    const upstream = new BlobUpstream(small);
    upstream.script = () => ({ bytes: content(1000, 2) });
    await using engine = new Engine([upstream]);
    await expect(engine.view(upstream)).rejects.toSatisfy(
      (error) => error instanceof CacheError && error.kind === 'mismatch',
    );
    expect(engine.store.blobs.size).toBe(0);
  });

  it('treats Content-Length 0 for a digest that is not empty as wrong bytes', async () => {
    const upstream = new BlobUpstream(blob);
    upstream.script = () => ({ bytes: new Uint8Array(0) });
    await using engine = new Engine([upstream]);
    await expect(engine.view(upstream)).rejects.toMatchObject({ kind: 'mismatch' });
  });

  it('brings the empty blob', async () => {
    const upstream = new BlobUpstream(new Uint8Array(0));
    await using engine = new Engine([upstream]);
    expect((await engine.get(upstream)).bytes).toBe(0);
    await engine.settled();
    expect(engine.store.blobs.has(upstream.digest)).toBe(true);
  });

  it('works without a declared length, and ends the body only after the proof', async () => {
    const upstream = new BlobUpstream(blob);
    upstream.script = () => ({ declare: 'unknown' });
    await using engine = new Engine([upstream]);
    const view = await engine.view(upstream);
    expect(view.sizeBytes).toBeUndefined();
    expect((await engine.read(view)).digest).toBe(upstream.digest);
    view.close();
    await engine.settled();
    expectClean(engine, upstream);
  });

  it('never ends a wrong body of unknown length', async () => {
    const upstream = new BlobUpstream(blob);
    upstream.script = () => ({ declare: 'unknown', bytes: content(mib, 3) });
    await using engine = new Engine([upstream]);
    const view = await engine.view(upstream);
    await expect(engine.read(view)).rejects.toBeInstanceOf(BrokenBodyError);
    view.close();
  });

  it('follows the upstream for its answers: 404 and 403 reach the client and are not retried', async () => {
    for (const kind of ['notFound', 'denied'] as const) {
      const upstream = new BlobUpstream(blob);
      upstream.script = () => ({ fail: upstream.error(kind) });
      await using engine = new Engine([upstream]);
      await expect(engine.view(upstream)).rejects.toSatisfy(
        (error) => error instanceof UpstreamError && error.kind === kind,
      );
      expect(upstream.asked).toHaveLength(1);
      await eventually(() => engine.fills.size === 0);
      expectClean(engine, upstream);
    }
  });

  it('remembers a 404 for five seconds and nothing else', async () => {
    const upstream = new BlobUpstream(blob);
    upstream.script = () => ({ fail: upstream.error('notFound') });
    await using engine = new Engine([upstream]);
    await expect(engine.view(upstream)).rejects.toMatchObject({ kind: 'notFound' });
    await expect(engine.view(upstream)).rejects.toMatchObject({ kind: 'notFound' });
    expect(upstream.asked).toHaveLength(1);
    await engine.clock.advance(5001);
    await expect(engine.view(upstream)).rejects.toMatchObject({ kind: 'notFound' });
    expect(upstream.asked).toHaveLength(2);
  });

  it('goes on through the next repository when one of them is refused', async () => {
    const upstream = new BlobUpstream(blob);
    const head = new Gate('head');
    upstream.script = ({ repository }) =>
      repository === 'a/b' ? { beforeHead: head.pass(), fail: upstream.error('denied') } : {};
    await using engine = new Engine([upstream]);
    engine.metadata.links.add({ upstream: 'lab', repository: 'c/d' as never }, upstream.digest, 'blob', {
      origin: byAnybody,
    });
    const refused = engine.get(upstream);
    await head.arrived();
    const served = engine.get(upstream, { repository: 'c/d' });
    head.open();
    await expect(refused).rejects.toMatchObject({ kind: 'denied' });
    expect((await served).digest).toBe(upstream.digest);
  });

  it('asks the upstream before a repository may join what another one is bringing', async () => {
    const upstream = new BlobUpstream(blob);
    const head = new Gate('head');
    upstream.script = () => ({ beforeHead: head.pass() });
    await using engine = new Engine([upstream]);
    engine.forbidden.add('evil/x');
    const first = engine.get(upstream);
    await head.arrived();
    await expect(engine.view(upstream, { repository: 'evil/x' })).rejects.toMatchObject({ kind: 'denied' });
    const friend = engine.get(upstream, { repository: 'good/x' });
    head.open();
    expect((await first).digest).toBe(upstream.digest);
    expect((await friend).digest).toBe(upstream.digest);
    expect(engine.asked).toEqual(['evil/x', 'good/x']);
    // And the same once it is stored.
    await expect(engine.view(upstream, { repository: 'evil/x' })).rejects.toMatchObject({ kind: 'denied' });
    expect(upstream.asked).toHaveLength(1);
  });

  it('keeps fills of one digest through two upstreams apart until one seals', async () => {
    const liar = new BlobUpstream(blob, { key: 'liar' });
    const honest = new BlobUpstream(blob, { key: 'honest' });
    const held = new Gate('held');
    liar.script = () => ({ bytes: content(blob.byteLength, 9), beforeChunk: () => held.pass() });
    await using engine = new Engine([liar, honest]);
    const cheated = engine.get(liar);
    await held.arrived();
    expect((await engine.get(honest)).digest).toBe(honest.digest);
    held.open();
    await expect(cheated).rejects.toBeInstanceOf(BrokenBodyError);
    expect(engine.store.blobs.get(honest.digest)).toEqual(blob);
  });
});
