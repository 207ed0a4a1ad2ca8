import { describe, expect, it } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { Gate, eventually } from '../support/gate.ts';
import { BlobUpstream, holdFirst } from './support/blob-upstream.ts';
import { Engine, content } from './support/engine.ts';

const mib = 1024 * 1024;
const blob = content(7 * mib + 321);
const part = (first: number, last: number) => [{ kind: 'closed', first, last }] as const;

/** How often a byte was asked for: at least and at most, over all bytes. */
function askedCounts(upstream: BlobUpstream, size: number): { least: number; most: number } {
  const spans = upstream.asked.map(({ range }) => (range === 'whole' ? ([0, size] as const) : range));
  const edges = [0, ...spans.flatMap(([start, end]) => [start, Math.min(end, size)])].filter((edge) => edge < size);
  const counts = edges.map((edge) => spans.filter(([start, end]) => start <= edge && edge < end).length);
  return { least: Math.min(...counts), most: Math.max(...counts) };
}

describe('a range of a blob that is not cached', () => {
  it('is fetched first, alone, and the rest follows with every byte asked for once', async () => {
    const upstream = new BlobUpstream(blob);
    await using engine = new Engine([upstream]);
    const ranges = part(3 * mib, 4 * mib - 1);
    const received = await engine.get(upstream, { ranges });
    expect(received.digest).toBe(digestOf(blob.subarray(3 * mib, 4 * mib)));
    expect(upstream.asked[0]?.range).toEqual([3 * mib, 4 * mib]);
    await engine.settled();
    expect(engine.store.blobs.get(upstream.digest)).toEqual(blob);
    expect(askedCounts(upstream, blob.byteLength)).toEqual({ least: 1, most: 1 });
    expect(upstream.sentBytes).toBe(blob.byteLength);
    expect(engine.counts.unproved).toBe(mib);
  });

  it('fails for the reason that closed the breaker, not for the closed breaker', async () => {
    const upstream = new BlobUpstream(blob);
    upstream.script = (_, index) => ({ fail: upstream.error(index === 0 ? 'unreachable' : 'breakerOpen') });
    await using engine = new Engine([upstream]);
    await expect(engine.get(upstream, { ranges: part(3 * mib, 4 * mib - 1) })).rejects.toMatchObject({
      kind: 'unreachable',
    });
    expect(upstream.asked).toHaveLength(2);
  });

  it('works for a footer, whose place nobody knows before the answer', async () => {
    const upstream = new BlobUpstream(blob);
    await using engine = new Engine([upstream]);
    const received = await engine.get(upstream, { ranges: [{ kind: 'suffix', length: 8 }] });
    expect(received.digest).toBe(digestOf(blob.subarray(-8)));
    await engine.settled();
    expect(engine.store.blobs.get(upstream.digest)).toEqual(blob);
    expect(askedCounts(upstream, blob.byteLength)).toEqual({ least: 1, most: 1 });
  });

  it('overtakes a whole transfer that is far behind it', async () => {
    const upstream = new BlobUpstream(blob);
    const slow = new Gate('slow');
    upstream.script = holdFirst(slow, mib);
    await using engine = new Engine([upstream]);
    const whole = engine.get(upstream);
    await slow.arrived();
    const received = await engine.get(upstream, { ranges: part(5 * mib, 5 * mib + 99) });
    expect(received.digest).toBe(digestOf(blob.subarray(5 * mib, 5 * mib + 100)));
    slow.open();
    expect((await whole).digest).toBe(upstream.digest);
    await engine.settled();
    expect(engine.store.blobs.get(upstream.digest)).toEqual(blob);
    expect(upstream.sentBytes).toBeLessThanOrEqual(blob.byteLength + 128 * 1024);
  });

  it('is cheap when many clients ask for many parts at once', async () => {
    const upstream = new BlobUpstream(blob);
    await using engine = new Engine([upstream]);
    const parts = 16;
    const size = Math.ceil(blob.byteLength / parts);
    const clients = Array.from({ length: 10 * parts }, (_, index) => {
      const first = (index % parts) * size;
      const last = Math.min(first + size, blob.byteLength) - 1;
      return engine.get(upstream, { ranges: part(first, last) }).then(({ digest }) => {
        expect(digest).toBe(digestOf(blob.subarray(first, last + 1)));
      });
    });
    await Promise.all(clients);
    await engine.settled();
    expect(askedCounts(upstream, blob.byteLength)).toEqual({ least: 1, most: 1 });
    expect(upstream.sentBytes).toBe(blob.byteLength);
  });

  it('that is open-ended does not bring the tail ahead of its client', async () => {
    const large = content(7 * mib);
    const upstream = new BlobUpstream(large);
    const frontier = new Gate('frontier');
    upstream.script = ({ range }) =>
      range?.kind === 'closed' && range.start === 0 ? { beforeChunk: () => frontier.pass() } : {};
    await using engine = new Engine([upstream]);
    const ranges = [{ kind: 'open', first: mib }] as const;
    await engine.get(upstream, { ranges, stopAt: 1000 });
    const asked = upstream.asked.map(({ range }) => range);
    expect(asked[0]).toEqual([mib, 5 * mib]);
    frontier.open();
    await engine.settled();
    expect(engine.store.blobs.get(upstream.digest)).toEqual(large);
  });

  it.each([
    ['longer than 4 MiB', part(mib, 5 * mib), 4 * mib + 1],
    ['longer than 4 MiB, from the start', part(0, 4 * mib), 4 * mib + 1],
    ['all of it', part(0, blob.byteLength - 1), blob.byteLength],
    ['open-ended from the start', [{ kind: 'open', first: 0 }] as const, blob.byteLength],
  ])('waits for the proof with its last byte when it is %s', async (_, ranges, length) => {
    const upstream = new BlobUpstream(blob);
    const last = new Gate('last byte of the blob');
    upstream.script = () => ({ beforeChunk: (position) => (position >= 7 * mib ? last.pass() : undefined) });
    await using engine = new Engine([upstream]);
    let seen = 0;
    const pending = engine.get(upstream, { ranges, onBytes: (received) => void (seen = received) });
    const most = Math.min(length - 1, 7 * mib);
    await last.arrived();
    await eventually(() => seen === most);
    last.open();
    const start = ranges[0].first;
    expect((await pending).digest).toBe(digestOf(blob.subarray(start, start + length)));
    expect(engine.counts.unproved).toBe(0);
  });

  it.each([
    ['two bytes', part(0, 1)],
    ['4 MiB', part(0, 4 * mib - 1)],
  ])('goes out before the proof when it is short and from the start (%s)', async (_, ranges) => {
    const upstream = new BlobUpstream(blob);
    const rest = new Gate('rest');
    upstream.script = (_request, index) => (index === 0 ? {} : { beforeChunk: () => rest.pass() });
    await using engine = new Engine([upstream]);
    const length = ranges[0].last + 1;
    expect((await engine.get(upstream, { ranges })).digest).toBe(digestOf(blob.subarray(0, length)));
    expect(engine.counts.unproved).toBe(length);
    expect(upstream.asked[0]?.range).toEqual([0, length]);
    rest.open();
    await engine.settled();
    expect(upstream.sentBytes).toBe(blob.byteLength);
  });

  it('is served from the one plain transfer when the upstream ignores Range', async () => {
    const upstream = new BlobUpstream(blob);
    upstream.script = () => ({ ignoreRange: true });
    await using engine = new Engine([upstream]);
    const received = await engine.get(upstream, { ranges: part(3 * mib, 3 * mib + 9) });
    expect(received.digest).toBe(digestOf(blob.subarray(3 * mib, 3 * mib + 10)));
    await engine.settled();
    expect(upstream.asked).toHaveLength(1);
    expect(engine.store.blobs.get(upstream.digest)).toEqual(blob);
  });

  it('beyond the end learns the size from a plain request', async () => {
    const upstream = new BlobUpstream(blob);
    await using engine = new Engine([upstream]);
    const view = await engine.view(upstream, { ranges: part(blob.byteLength + 5, blob.byteLength + 9) });
    expect(view.sizeBytes).toBe(blob.byteLength);
    view.close();
    await engine.settled();
    expect(engine.store.blobs.get(upstream.digest)).toEqual(blob);
  });

  it('answers a HEAD without starting a transfer, and links', async () => {
    const upstream = new BlobUpstream(blob);
    await using engine = new Engine([upstream]);
    const view = await engine.view(upstream, { method: 'head' });
    expect(view.sizeBytes).toBe(blob.byteLength);
    view.close();
    expect(upstream.asked).toEqual([]);
    expect(engine.counts.started).toBe(0);
  });
});
