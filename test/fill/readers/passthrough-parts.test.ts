import { describe, expect, it } from 'vitest';
import type { BlobView, BodySpan } from '../../../src/fill/contract/blob-view.ts';
import { BrokenBodyError } from '../../../src/fill/contract/errors.ts';
import { runsOf } from '../../../src/fill/readers/part-runs.ts';
import type { RequestRange } from '../../../src/headers/range.ts';
import { resolveRanges } from '../../../src/headers/range.ts';
import { eventually } from '../../support/gate.ts';
import { BlobUpstream } from '../support/blob-upstream.ts';
import { Engine, content } from '../support/engine.ts';

const mib = 1024 * 1024;
const blob = content(24 * mib);
const { signal } = new AbortController();

function closed(first: number, end: number): RequestRange {
  return { kind: 'closed', first, last: end - 1 };
}

/** As http does: parts in order, each reader open before the one before it is done. */
async function readParts(view: BlobView, spans: readonly BodySpan[]): Promise<Buffer[]> {
  const readers = await Promise.all(spans.map((span) => view.open(span, signal)));
  const parts: Buffer[] = [];
  for (const [index, { start, end }] of spans.entries()) {
    const reader = readers[index];
    const pieces: Buffer[] = [];
    for (let position = start; position !== end && reader !== undefined;) {
      const to = await reader.readable(position, signal);
      const buffer = Buffer.alloc(to - position);
      const count = await reader.read(buffer, 0, buffer.byteLength, position);
      pieces.push(buffer.subarray(0, count));
      position += count;
    }
    reader?.close();
    parts.push(Buffer.concat(pieces));
  }
  return parts;
}

async function get(engine: Engine, upstream: BlobUpstream, ranges: readonly RequestRange[]) {
  const view = await engine.view(upstream, { ranges });
  const resolved = resolveRanges(ranges, blob.byteLength);
  const spans = resolved.kind === 'multi' ? resolved.spans : resolved.kind === 'single' ? [resolved.span] : [];
  try {
    const parts = await readParts(view, spans);
    for (const [index, { start, end }] of spans.entries()) expect(parts[index]).toEqual(blob.subarray(start, end));
    expect(spans.length).toBeGreaterThan(0);
    return view.outcome;
  } finally {
    view.close();
  }
}

/** Neither can be kept: the store is sick, or the blob is larger than all of it. */
const stores = [
  { what: 'a sick store', maxBytes: 2 ** 40, isSick: true },
  { what: 'a blob larger than the cache', maxBytes: 8 * mib, isSick: false },
];

describe.each(stores)('parts that are passed through: $what', ({ maxBytes, isSick }) => {
  const start = (): { upstream: BlobUpstream; engine: Engine } => {
    const upstream = new BlobUpstream(blob);
    const engine = new Engine([upstream], { maxBytes });
    engine.store.isSick = isSick;
    return { upstream, engine };
  };

  it('cost their own bytes, however long they are, and are not said to be stored', async () => {
    const { upstream, engine } = start();
    await using _ = engine;
    let bytes = 0;
    for (let part = 0; part < 4; part++) {
      const first = part * 5 * mib;
      expect(await get(engine, upstream, [closed(first, first + 4 * mib + 1)])).toEqual({ kind: 'bypass' });
      bytes += 4 * mib + 1;
    }
    await engine.settled();
    expect(engine.counts.unproved).toBe(bytes);
    // What a fill had asked for before it knew that it is of no use is broken off.
    expect(upstream.sentBytes).toBeLessThan(bytes + 4 * 2 * mib);
    expect(upstream.openBodies + upstream.held.size).toBe(0);
  });

  it('share one transfer where they touch', async () => {
    const { upstream, engine } = start();
    await using _ = engine;
    await get(engine, upstream, [closed(0, 1)]);
    await eventually(() => engine.fills.size === 0);
    upstream.asked.length = 0;
    upstream.sentBytes = 0;
    const kib = 1024;
    const touching = Array.from({ length: 1000 }, (_unused, part) => closed(mib + part * kib, mib + (part + 1) * kib));
    await get(engine, upstream, [...touching, closed(20 * mib, 20 * mib + 5)]);
    const runs = upstream.asked.filter(({ range }) => range !== 'whole').map(({ range }) => range);
    expect(runs).toContainEqual([mib, mib + 1000 * kib]);
    // Two of them are what a fill asks for before it knows that it is of no use.
    expect(runs.length).toBeLessThanOrEqual(4);
  });

  it('that are all of it end with the proof', async () => {
    const { upstream, engine } = start();
    await using _ = engine;
    const wrong = Buffer.from(blob);
    wrong[20 * mib] = (wrong[20 * mib] ?? 0) ^ 1;
    upstream.script = () => ({ bytes: wrong });
    const half = 12 * mib;
    for (const ranges of [
      [closed(0, blob.byteLength)],
      [closed(0, half), closed(half, blob.byteLength)],
      [closed(half, blob.byteLength), closed(0, half)],
    ]) {
      const view = await engine.view(upstream, { ranges });
      const resolved = resolveRanges(ranges, blob.byteLength);
      const spans = resolved.kind === 'multi' ? resolved.spans : [{ start: 0, end: blob.byteLength }];
      await expect(readParts(view, spans)).rejects.toBeInstanceOf(BrokenBodyError);
      view.close();
    }
  });
});

describe('a blob larger than the cache', () => {
  it.each(['a fill has found', 'a HEAD has said'])('costs no byte besides those asked for once %s so', async (how) => {
    const upstream = new BlobUpstream(blob);
    await using engine = new Engine([upstream], { maxBytes: 8 * mib });
    if (how === 'a HEAD has said') (await engine.view(upstream, { method: 'head' })).close();
    else {
      await get(engine, upstream, [closed(0, 1)]);
      await eventually(() => engine.fills.size === 0);
    }
    upstream.asked.length = 0;
    upstream.sentBytes = 0;
    const chunk = 64 * 1024;
    for (let part = 0; part < 3; part++) {
      const outcome = await get(engine, upstream, [closed(part * mib, part * mib + chunk)]);
      expect(outcome).toEqual({ kind: 'bypass' });
    }
    const parts = [0, 1, 2].map((part) => [part * mib, part * mib + chunk]);
    expect(upstream.asked.map(({ range }) => range).filter((range) => range !== 'whole')).toEqual(parts);
    expect(upstream.sentBytes).toBe(3 * chunk);
    // What the upstream said is believed for a while only.
    await engine.clock.advance(600_000);
    await get(engine, upstream, [closed(0, 1)]);
    expect(upstream.asked.length).toBeGreaterThan(4);
    await eventually(() => engine.fills.size === 0);
  });
});

describe('runs of parts', () => {
  it('are those that follow each other without a gap, in the order of the request', () => {
    const spans = [
      { start: 5, end: 7 },
      { start: 7, end: 9 },
      { start: 0, end: 5 },
      { start: 10, end: 11 },
    ];
    const runs = runsOf(spans);
    expect(runs).toEqual([
      { start: 5, end: 9 },
      { start: 5, end: 9 },
      { start: 0, end: 5 },
      { start: 10, end: 11 },
    ]);
    expect(runs[0]).toBe(runs[1]);
  });
});
