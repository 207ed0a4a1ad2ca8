import { describe, expect, it } from 'vitest';
import { Gate, eventually } from '../support/gate.ts';
import { BlobUpstream } from './support/blob-upstream.ts';
import { Engine, content } from './support/engine.ts';

const mib = 1024 * 1024;
const blob = content(7 * mib);

describe('the repositories of a fill', () => {
  it('answer for themselves when several transfers through one of them are refused at once', async () => {
    const upstream = new BlobUpstream(blob);
    const first = new Gate('first transfer');
    const refusals = new Gate('refusals');
    upstream.script = ({ repository }, index) => {
      if (index === 0) return { beforeChunk: (at) => (at >= mib ? first.pass() : undefined), cutAfter: 2 * mib };
      return repository === 'a/b' ? { beforeHead: refusals.pass(), fail: upstream.error('notFound') } : {};
    };
    await using engine = new Engine([upstream]);
    const whole = engine.get(upstream);
    await first.arrived();
    // A want far ahead runs beside the prefix, and both go on through `a/b`, which has lost the blob meanwhile.
    const ranges = [{ kind: 'closed', first: 5 * mib, last: 5 * mib + 99 }] as const;
    const other = engine.get(upstream, { repository: 'c/d', ranges });
    await refusals.arrived();
    first.open();
    await refusals.arrived(2);
    refusals.open();
    expect((await whole).digest).toBe(upstream.digest);
    expect((await other).bytes).toBe(100);
    await engine.settled();
    expect(engine.results).toEqual(['stored']);
  });
});

describe('a refusal', () => {
  it('is not for those who come through another repository while the refused fill ends', async () => {
    const upstream = new BlobUpstream(blob);
    upstream.script = ({ repository: through }, index) =>
      index === 0 ? { cutAfter: mib } : through === 'a/b' ? { fail: upstream.error('denied') } : {};
    await using engine = new Engine([upstream]);
    const keeping = new Gate('keeping');
    engine.store.beforeKeep = () => keeping.pass();
    const refused = engine.get(upstream).catch((error: unknown) => error);
    await keeping.arrived();
    const other = engine.get(upstream, { repository: 'c/d' });
    await refused;
    keeping.open();
    expect((await other).digest).toBe(upstream.digest);
  });

  it('of a blob that many ask for at once costs one question', async () => {
    const upstream = new BlobUpstream(blob);
    const head = new Gate('head');
    upstream.script = () => ({ beforeHead: head.pass(), fail: upstream.error('notFound') });
    await using engine = new Engine([upstream]);
    const all = Array.from({ length: 1000 }, () => engine.view(upstream).catch((error: unknown) => error));
    await head.arrived();
    head.open();
    for (const answer of await Promise.all(all)) expect(answer).toMatchObject({ kind: 'notFound' });
    expect(upstream.asked).toHaveLength(1);
  });
});

describe('a fill that has ended', () => {
  it('leaves no timer behind, whatever its end and however long its clients stay', async () => {
    const good = new BlobUpstream(content(100_000), { key: 'good' });
    const bad = new BlobUpstream(content(100_001), { key: 'bad' });
    bad.script = () => ({ fail: bad.error('notFound') });
    await using engine = new Engine([good, bad]);
    const before = engine.clock.pending;
    await expect(engine.get(bad)).rejects.toMatchObject({ kind: 'notFound' });
    const view = await engine.view(good);
    await eventually(() => engine.fills.size === 0);
    view.close();
    expect(engine.clock.pending).toBe(before);
  });

  it('on the way down says so to those who wait for its head', async () => {
    const upstream = new BlobUpstream(blob);
    const head = new Gate('head');
    upstream.script = () => ({ beforeHead: head.pass() });
    await using engine = new Engine([upstream]);
    const waiting = engine.get(upstream).catch((error: unknown) => error);
    await head.arrived();
    const closing = engine.fills.close(AbortSignal.abort());
    head.open();
    await closing;
    expect(await waiting).toMatchObject({ cause: { kind: 'shuttingDown' } });
  });
});

describe('a client that left behind a fill', () => {
  it('that is stopped and put away continues it when it comes back', async () => {
    const upstream = new BlobUpstream(blob);
    const held = new Gate('held');
    upstream.script = (_, index) => ({
      declare: 'unknown',
      ...(index === 0 ? { beforeChunk: (at: number) => (at >= mib ? held.pass() : undefined) } : {}),
    });
    await using engine = new Engine([upstream], { onAbandon: 'keep' });
    await engine.get(upstream, { stopAt: 1000 });
    await held.arrived();
    await engine.clock.advance(29_000);
    expect(engine.fills.size).toBe(1);
    const keeping = new Gate('keeping');
    engine.store.beforeKeep = () => keeping.pass();
    await engine.clock.advance(2000);
    await keeping.arrived();
    const back = engine.get(upstream);
    keeping.open();
    expect((await back).digest).toBe(upstream.digest);
    expect(engine.results[0]).toBe('abandoned');
    await engine.settled();
    expect(engine.store.openReaders).toBe(0);
  });
});
