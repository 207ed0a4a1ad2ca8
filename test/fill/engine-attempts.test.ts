import { describe, expect, it } from 'vitest';
import { BrokenBodyError } from '../../src/fill/contract/errors.ts';
import { Gate, eventually, patienceMs, within } from '../support/gate.ts';
import { BlobUpstream, type Script } from './support/blob-upstream.ts';
import { Engine, content } from './support/engine.ts';

const mib = 1024 * 1024;
const blob = content(3 * mib + 17);
const never = new AbortController().signal;

/** The first transfer is cut, the second continues it with wrong bytes; what comes then is `later`. */
function misfit(later: (index: number) => Script = () => ({}), size = blob.byteLength, cut = mib) {
  const gate = new Gate('second transfer');
  const script = (_: unknown, index: number): Script => {
    if (index === 0) return { cutAfter: cut };
    if (index === 1) return { bytes: content(size, 7), endpoint: 'bad', beforeHead: gate.pass() };
    return later(index);
  };
  return { gate, script };
}

describe('an attempt that turns out wrong', () => {
  it('is followed by one more and not by a third, however often the upstream cuts and lies', async () => {
    const upstream = new BlobUpstream(blob);
    upstream.script = ({ range }) => ({
      bytes: content(blob.byteLength, 7),
      ...(range === undefined ? { cutAfter: mib } : {}),
    });
    await using engine = new Engine([upstream]);
    await expect(engine.get(upstream)).rejects.toBeInstanceOf(BrokenBodyError);
    await eventually(() => engine.fills.size === 0);
    expect(engine.results).toEqual(['mismatch']);
    expect(upstream.asked).toHaveLength(4);
    expect(engine.store.openReaders).toBe(0);
  });

  it('asks those who sent the wrong bytes last', async () => {
    const upstream = new BlobUpstream(blob);
    const { gate, script } = misfit();
    upstream.script = script;
    gate.open();
    await using engine = new Engine([upstream]);
    await engine.get(upstream).catch(() => undefined);
    await engine.settled();
    expect(upstream.asked[2]).toMatchObject({ range: 'whole' });
    expect(upstream.asked[2]?.avoided).toContain('bad');
  });

  it('gives way to the next one for every client that comes from then on', async () => {
    const upstream = new BlobUpstream(blob);
    const middle = new Gate('middle of the next generation');
    const { gate, script } = misfit(() => ({ beforeChunk: (at) => (at >= mib ? middle.pass() : undefined) }));
    upstream.script = script;
    gate.open();
    await using engine = new Engine([upstream]);
    const first = engine.get(upstream).catch((error: unknown) => error);
    await middle.arrived();
    expect(await first).toBeInstanceOf(BrokenBodyError);
    const late = [engine.get(upstream), engine.get(upstream, { repository: 'c/d' })];
    middle.open();
    for (const received of await Promise.all(late)) expect(received.digest).toBe(upstream.digest);
    await engine.settled();
    expect(upstream.asked).toHaveLength(3);
    expect(engine.store.misuses).toEqual([]);
    expect(engine.store.openReaders).toBe(0);
  });

  it('does not touch a small body, which nobody has been given a byte of', async () => {
    const small = content(1000);
    const upstream = new BlobUpstream(small, { chunkBytes: 100 });
    const { gate, script } = misfit(() => ({}), 1000, 500);
    upstream.script = script;
    gate.open();
    await using engine = new Engine([upstream]);
    expect((await engine.get(upstream)).digest).toBe(upstream.digest);
    await engine.settled();
    expect(engine.store.misuses).toEqual([]);
  });

  it('is never mixed with the next one in an answer of several parts', async () => {
    const upstream = new BlobUpstream(blob);
    const { gate, script } = misfit();
    upstream.script = script;
    await using engine = new Engine([upstream]);
    const started = engine.get(upstream).catch((error: unknown) => error);
    await gate.arrived();
    const view = await engine.view(upstream);
    const first = await view.open({ start: 100, end: 200 }, never);
    await first.readable(100, never);
    await first.read(Buffer.alloc(100), 0, 100, 100);
    const second = await view.open({ start: 300, end: 400 }, never);
    gate.open();
    await started;
    await engine.settled();
    await expect(Promise.resolve().then(() => second.readable(300, never))).rejects.toBeInstanceOf(BrokenBodyError);
    first.close();
    second.close();
    view.close();
    expect(engine.store.openReaders).toBe(0);
  });

  it('leaves nobody waiting when the store takes no next one', async () => {
    const upstream = new BlobUpstream(blob);
    const { gate, script } = misfit();
    upstream.script = script;
    await using engine = new Engine([upstream]);
    const started = engine.get(upstream).catch((error: unknown) => error);
    await gate.arrived();
    const idle = await engine.view(upstream);
    const reader = await idle.open({ start: 0, end: idle.sizeBytes }, never);
    engine.store.isSick = true;
    gate.open();
    await started;
    const end = within(patienceMs, Promise.resolve(reader.readable(0, never)), () => 'an end for the idle reader');
    await expect(end).rejects.toBeInstanceOf(BrokenBodyError);
    reader.close();
    idle.close();
    expect((await engine.get(upstream)).digest).toBe(upstream.digest);
  });
});

describe('a fill that ends', () => {
  it('lets those who come while its partial is put away continue it', async () => {
    const upstream = new BlobUpstream(blob);
    upstream.script = (_, index) => ({ cutAfter: index === 0 ? mib : 0 });
    await using engine = new Engine([upstream]);
    const keeping = new Gate('keeping');
    engine.store.beforeKeep = () => keeping.pass();
    const first = engine.get(upstream).catch((error: unknown) => error);
    await eventually(async () => {
      await engine.clock.advance(5000);
      return keeping.arrivals > 0;
    });
    expect(await first).toBeInstanceOf(BrokenBodyError);
    upstream.script = () => ({});
    const late = engine.get(upstream);
    await Promise.resolve();
    keeping.open();
    expect((await late).digest).toBe(upstream.digest);
    expect(upstream.asked.at(-1)?.range).toEqual([mib, blob.byteLength]);
  });

  it('never hands out a file that it has closed, whenever somebody comes', async () => {
    const upstream = new BlobUpstream(content(100_000));
    for (let turns = 0; turns < 40; turns++) {
      await using engine = new Engine([upstream]);
      const adopting = new Gate('adopting');
      engine.store.beforeAdopt = () => adopting.pass();
      const first = engine.get(upstream);
      await adopting.arrived();
      await first;
      // The look into the store comes too early, and the fill ends while it takes its time.
      engine.store.afterLook = async () => {
        adopting.open();
        for (let turn = 0; turn < turns; turn++) await Promise.resolve();
      };
      expect((await engine.get(upstream)).digest).toBe(upstream.digest);
      await engine.settled();
      expect(engine.store.misuses).toEqual([]);
      expect(engine.store.openReaders).toBe(0);
    }
  });
});
