import { describe, expect, it } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { Gate, eventually } from '../support/gate.ts';
import { BlobUpstream, holdFirst } from './support/blob-upstream.ts';
import { Engine, content } from './support/engine.ts';

const mib = 1024 * 1024;
const blob = content(7 * mib + 321);
const never = new AbortController().signal;
const part = (first: number, last: number) => [{ kind: 'closed', first, last }] as const;

describe('a want far ahead of the prefix', () => {
  it.each([
    ['ignores', { ignoreRange: true }],
    ['refuses', {}],
  ])('costs nothing but its question where the upstream %s Range', async (kind, script) => {
    const upstream = new BlobUpstream(blob);
    const slow = new Gate('whole transfer');
    upstream.script = holdFirst(slow, mib, ({ range }) =>
      kind === 'refuses' && range !== undefined ? { fail: upstream.error('rangeRefused') } : script,
    );
    await using engine = new Engine([upstream]);
    const whole = engine.get(upstream);
    await slow.arrived();
    const wanted = engine.get(upstream, { ranges: part(5 * mib, 5 * mib + 99) });
    await eventually(() => upstream.asked.length > 1);
    await eventually(() => upstream.held.size === 1 || upstream.asked.length > 2);
    slow.open();
    expect((await whole).digest).toBe(upstream.digest);
    expect((await wanted).digest).toBe(digestOf(blob.subarray(5 * mib, 5 * mib + 100)));
    await engine.settled();
    expect(upstream.asked.map(({ range }) => (range === 'whole' ? range : 'part'))).toEqual(['whole', 'part']);
    expect(upstream.sentBytes).toBe(blob.byteLength);
  });
});

describe('wants that come one after the other', () => {
  it('overtake a whole transfer, each of them nearer to it than the one before', async () => {
    const upstream = new BlobUpstream(blob);
    const slow = new Gate('whole transfer');
    upstream.script = holdFirst(slow, mib);
    await using engine = new Engine([upstream]);
    const whole = engine.get(upstream);
    await slow.arrived();
    for (const first of [6 * mib, 4 * mib, 5 * mib + 5, 2 * mib]) {
      const received = await engine.get(upstream, { ranges: part(first, first + 99) });
      expect(received.digest).toBe(digestOf(blob.subarray(first, first + 100)));
    }
    slow.open();
    expect((await whole).digest).toBe(upstream.digest);
    await engine.settled();
    expect(engine.store.blobs.get(upstream.digest)).toEqual(blob);
    // What was on its way when the transfer was left is the price, and it is paid once.
    expect(upstream.sentBytes).toBeLessThanOrEqual(blob.byteLength + 128 * 1024);
  });
});

describe('a want that is refused', () => {
  it('does not close the fill, whose one transfer goes on, to anybody', async () => {
    const upstream = new BlobUpstream(blob);
    const slow = new Gate('whole transfer');
    upstream.script = holdFirst(slow, mib, (_, index) => (index === 1 ? { fail: upstream.error('notFound') } : {}));
    await using engine = new Engine([upstream]);
    const whole = engine.get(upstream);
    await slow.arrived();
    const wanted = engine.get(upstream, { ranges: part(5 * mib, 5 * mib + 99) });
    await eventually(() => upstream.asked.length > 1);
    await new Promise((resolve) => setImmediate(resolve));
    const late = await engine.view(upstream);
    expect(late.outcome).toEqual({ kind: 'miss', isCollapsed: true });
    late.close();
    slow.open();
    expect((await whole).digest).toBe(upstream.digest);
    expect((await wanted).digest).toBe(digestOf(blob.subarray(5 * mib, 5 * mib + 100)));
    await engine.settled();
    expect(engine.results).toEqual(['stored']);
  });
});

describe('a range beyond the end', () => {
  it('says nothing about ranges: the transfer is continued by them after a cut', async () => {
    const upstream = new BlobUpstream(blob);
    upstream.script = ({ range }) => (range === undefined ? { cutAfter: 2 * mib } : {});
    await using engine = new Engine([upstream]);
    const view = await engine.view(upstream, { ranges: [{ kind: 'open', first: 2 ** 40 }] });
    expect(view.sizeBytes).toBe(blob.byteLength);
    view.close();
    await engine.settled();
    expect(upstream.asked.at(-1)?.range).toEqual([2 * mib, blob.byteLength]);
    expect(upstream.sentBytes).toBe(blob.byteLength);
  });
});

describe('a short part that ends a long answer', () => {
  it.each(['filling', 'passing through'])('waits for the proof (%s)', async (way) => {
    const upstream = new BlobUpstream(blob);
    const rest = new Gate('rest');
    upstream.script = () => ({ beforeChunk: (position) => (position >= 6 * mib ? rest.pass() : undefined) });
    await using engine = new Engine([upstream]);
    engine.store.isSick = way !== 'filling';
    const view = await engine.view(upstream);
    const span = { start: mib, end: 2 * mib, isHeldBack: true } as const;
    const reader = await view.open(span, never);
    let position = span.start;
    while (position < span.end - 1) {
      const end = await reader.readable(position, never);
      position += await reader.read(Buffer.alloc(end - position), 0, end - position, position);
    }
    expect(position).toBe(span.end - 1);
    let isOut = false;
    const last = Promise.resolve(reader.readable(position, never)).then((end) => {
      isOut = true;
      return end;
    });
    // All that can come has come; what is missing is the proof.
    await rest.arrived();
    await new Promise((resolve) => setImmediate(resolve));
    expect(isOut).toBe(false);
    rest.open();
    expect(await last).toBe(span.end);
    reader.close();
    view.close();
  });
});

describe('one byte', () => {
  it('is never asked for twice, whatever ranges come in whatever order while connections are cut', async () => {
    const upstream = new BlobUpstream(blob);
    upstream.script = (_, index) => (index % 3 === 2 ? { cutAfter: 300_000 } : {});
    await using engine = new Engine([upstream]);
    const starts = [5, 1, 6, 3, 0, 2, 4].map((start) => start * mib + 12_345);
    const clients = starts.map((first) => {
      const last = Math.min(first + 700_000, blob.byteLength - 1);
      return engine.get(upstream, { ranges: part(first, last) }).then(({ digest }) => {
        expect(digest).toBe(digestOf(blob.subarray(first, last + 1)));
      });
    });
    clients.push(engine.get(upstream).then(({ digest }) => expect(digest).toBe(upstream.digest)));
    await Promise.all(clients);
    await engine.settled();
    expect(upstream.sentBytes).toBe(blob.byteLength);
    expect(engine.store.blobs.get(upstream.digest)).toEqual(blob);
  });
});
