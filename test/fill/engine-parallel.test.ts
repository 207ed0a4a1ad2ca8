import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { eventually } from '../support/gate.ts';
import { BlobUpstream } from './support/blob-upstream.ts';
import { Engine, content } from './support/engine.ts';
import { chunkBytes, limitAll, limitEach, play } from './support/pace.ts';

const mib = 1024 * 1024;
const mb = 1e6;
const blob = content(72 * mib + 321);
const rate = 12.5 * mb;
const aloneSeconds = blob.byteLength / rate;

let upstream: BlobUpstream;
let engine: Engine;

function begin(options: { connections?: number } = {}): void {
  upstream = new BlobUpstream(blob, { chunkBytes });
  engine = new Engine([upstream], options);
  engine.store.roomBytes = 80 * mib;
}

beforeEach(() => begin());
afterEach(() => engine[Symbol.asyncDispose]());

type Span = readonly [number, number];

function spans(): readonly Span[] {
  return upstream.asked.flatMap(({ range }) => (range === 'whole' ? [] : [range]));
}

/** Each range begins where the one before it ended: in order, no byte twice. */
function expectInOrder(ranges: readonly Span[]): void {
  for (const [index, [start]] of ranges.entries()) if (index > 0) expect(start).toBe(ranges[index - 1]?.[1]);
}

async function expectStored(): Promise<void> {
  await eventually(() => engine.fills.size === 0);
  expect(engine.store.blobs.get(upstream.digest)?.equals(blob)).toBe(true);
}

describe('a large blob behind an upstream that limits each connection', () => {
  it('comes over more and more connections, each byte asked for once, the first bytes first', async () => {
    limitEach(upstream, engine.clock, rate);
    let most = 0;
    let received = 0;
    const whole = engine.get(upstream, { onBytes: (bytes) => void (received = bytes) });
    const { value, seconds } = await play(engine.clock, whole, (elapsedMs) => {
      most = Math.max(most, upstream.openBodies);
      // Never later than one connection alone would bring them.
      const alone = Math.min((elapsedMs / 1000) * rate, blob.byteLength) - 2 * chunkBytes;
      expect(received).toBeGreaterThanOrEqual(alone);
    });
    expect(value.digest).toBe(upstream.digest);
    expect(most).toBe(8);
    expect(seconds).toBeLessThan(aloneSeconds / 3);
    expect(upstream.asked[0]?.range).toBe('whole');
    expectInOrder(spans());
    expect(spans().at(-1)?.[1]).toBe(blob.byteLength);
    // Each part leaves its connection to the next one.
    expect(upstream.completeBodies).toBe(spans().length);
    // The first request asked for everything; what it had on its way when it was left is all that came twice.
    expect(upstream.sentBytes - blob.byteLength).toBeLessThanOrEqual(2 * chunkBytes);
    await expectStored();
    await engine.clock.advance(100);
    expect(engine.clock.pending).toBe(1);
  });

  it('is begun in parts at once when an earlier one has shown that they help', async () => {
    limitEach(upstream, engine.clock, rate);
    await play(engine.clock, engine.get(upstream));
    await expectStored();
    await engine.store.remove(upstream.digest);
    upstream.asked.length = 0;
    upstream.sentBytes = 0;
    const { value, seconds } = await play(engine.clock, engine.get(upstream));
    expect(value.digest).toBe(upstream.digest);
    expect(seconds).toBeLessThan(aloneSeconds / 5);
    expect(spans()[0]).toEqual([0, 4 * mib]);
    expectInOrder(spans());
    expect([upstream.asked.length, upstream.sentBytes]).toEqual([spans().length, blob.byteLength]);
    await expectStored();
    // Long after that it is found out anew.
    await engine.clock.advance(11 * 60_000);
    await engine.store.remove(upstream.digest);
    upstream.asked.length = 0;
    await play(engine.clock, engine.get(upstream));
    expect(upstream.asked[0]?.range).toBe('whole');
  });

  it('uses no more connections than configured', async () => {
    await engine[Symbol.asyncDispose]();
    begin({ connections: 3 });
    limitEach(upstream, engine.clock, rate);
    let most = 0;
    await play(engine.clock, engine.get(upstream), () => void (most = Math.max(most, upstream.openBodies)));
    expect(most).toBe(3);
    await expectStored();
  });

  it('uses only what all fills together leave', async () => {
    limitEach(upstream, engine.clock, rate);
    const taken = Array.from({ length: 30 }, () => engine.connections.opportunistic.tryAcquire());
    expect(taken).not.toContain(undefined);
    let most = 0;
    await play(engine.clock, engine.get(upstream), () => void (most = Math.max(most, upstream.openBodies)));
    expect(most).toBe(3);
    expect(engine.connections.opportunistic.active).toBe(30);
    await expectStored();
  });

  it('is left to one connection when its last client has gone', async () => {
    limitEach(upstream, engine.clock, rate);
    await play(engine.clock, engine.get(upstream, { stopAt: 24 * mib }));
    const asked = upstream.asked.length;
    let most = 0;
    await play(
      engine.clock,
      eventually(() => engine.fills.size === 0),
      (ms) => {
        // The pieces that were being brought are finished.
        if (ms > 1000) most = Math.max(most, upstream.openBodies);
      },
    );
    expect(asked).toBeGreaterThan(4);
    expect(most).toBe(1);
    await expectStored();
  });

  it('is continued over several when it begins with a partial that has holes', async () => {
    limitEach(upstream, engine.clock, rate);
    const written = [
      { start: 0, end: 3 * mib },
      { start: 20 * mib, end: 28 * mib },
    ];
    const ingest = await engine.store.createIngest({ digest: upstream.digest, upstream: upstream.key });
    for (const { start, end } of written) await ingest.write([blob.subarray(start, end)], start);
    await ingest.keep(written, blob.byteLength);
    const { value, seconds } = await play(engine.clock, engine.get(upstream));
    expect(value.digest).toBe(upstream.digest);
    expect(seconds).toBeLessThan(aloneSeconds / 2);
    expect(upstream.asked[0]?.range).toEqual([3 * mib, 20 * mib]);
    expect(upstream.sentBytes - (blob.byteLength - 11 * mib)).toBeLessThanOrEqual(2 * chunkBytes);
    await expectStored();
  });

  it('that is stopped keeps what every connection brought, and is completed from there', async () => {
    limitEach(upstream, engine.clock, rate);
    const stopped = engine.get(upstream).catch((error: unknown) => error);
    await engine.clock.advance(750);
    expect(upstream.openBodies).toBe(8);
    await engine.fills.close(AbortSignal.abort());
    await stopped;
    const [kept] = engine.store.kept.values();
    expect(kept?.written.length).toBeGreaterThan(1);
    for (const { start, end } of kept?.written ?? []) {
      expect(kept?.bytes.subarray(start, end).equals(blob.subarray(start, end))).toBe(true);
    }
    expect([upstream.openBodies, engine.connections.opportunistic.active]).toEqual([0, 0]);
    // What is left are the timers of the upstream's own pace, and that of the store's space.
    await engine.clock.advance(100);
    expect(engine.clock.pending).toBe(1);
  });
});

describe('a large blob over one connection', () => {
  it.each([
    ['brings it fast', () => limitEach(upstream, engine.clock, 250 * mb)],
    ['shares its limit among all', () => limitAll(upstream, engine.clock, rate)],
  ])('stays there, but for one try, when the upstream %s', async (_, limit) => {
    limit();
    const { value, seconds } = await play(engine.clock, engine.get(upstream));
    expect(value.digest).toBe(upstream.digest);
    expect(seconds).toBeLessThan(aloneSeconds * 1.05);
    expect(upstream.asked.length).toBeLessThanOrEqual(4);
    expect(upstream.sentBytes).toBeLessThanOrEqual(blob.byteLength * 1.01);
    await expectStored();
  });

  it('is never split when the upstream is fast, nor while weir is the slow one', async () => {
    limitEach(upstream, engine.clock, 250 * mb);
    await play(engine.clock, engine.get(upstream));
    await expectStored();
    await engine.store.remove(upstream.digest);
    limitEach(upstream, engine.clock, rate);
    await play(engine.clock, engine.get(upstream), () => void (engine.busyMs = engine.clock.monotonic()));
    await expectStored();
    expect(upstream.asked.map(({ range }) => range)).toEqual(['whole', 'whole']);
    expect(upstream.sentBytes).toBe(2 * blob.byteLength);
  });

  it('is not split when it is small', async () => {
    const small = new BlobUpstream(content(20 * mib), { chunkBytes });
    await using other = new Engine([small]);
    other.store.roomBytes = 20 * mib;
    limitEach(small, other.clock, rate / 4);
    await play(other.clock, other.get(small));
    expect(small.asked).toHaveLength(1);
  });

  it('goes on as it was where the upstream ignores Range, also for the next one', async () => {
    limitEach(upstream, engine.clock, rate, () => ({ ignoreRange: true }));
    const { seconds } = await play(engine.clock, engine.get(upstream));
    expect(seconds).toBeLessThan(aloneSeconds + 0.1);
    expect(upstream.asked.map(({ range }) => (range === 'whole' ? range : 'part'))).toEqual(['whole', 'part']);
    expect(upstream.sentBytes).toBe(blob.byteLength);
    await expectStored();
    await engine.store.remove(upstream.digest);
    await play(engine.clock, engine.get(upstream));
    expect(upstream.asked).toHaveLength(3);
    expect(upstream.asked[2]?.range).toBe('whole');
  });

  it.each([
    ['429', 'rateLimited', 429],
    ['503', 'serverError', 503],
    ['no connection', 'unreachable', 0],
    ['404', 'notFound', 404],
  ] as const)('goes on as it was where a second one gets %s', async (_, kind, status) => {
    limitEach(upstream, engine.clock, rate, (__, index) =>
      index === 0 ? {} : { fail: upstream.error(kind, kind, status) },
    );
    const { value, seconds } = await play(engine.clock, engine.get(upstream));
    expect(value.digest).toBe(upstream.digest);
    expect(seconds).toBeLessThan(aloneSeconds + 0.1);
    expect(upstream.asked.length).toBeLessThanOrEqual(5);
    expect(upstream.sentBytes).toBe(blob.byteLength);
    await expectStored();
    expect(engine.connections.opportunistic.active).toBe(0);
  });
});

describe('one of many connections', () => {
  it('that is cut is continued where it broke, and the others do not notice', async () => {
    limitEach(upstream, engine.clock, rate, (_, index) => (index === 5 ? { cutAfter: mib } : {}));
    await play(engine.clock, engine.get(upstream));
    const [start = 0, end = 0] = spans()[4] ?? [];
    expect(spans().filter((span) => span[0] > start && span[0] < end)).toEqual([[start + mib, end]]);
    expect(engine.counts.resumed).toBe(1);
    expect(upstream.sentBytes - blob.byteLength).toBeLessThanOrEqual(2 * chunkBytes);
    await expectStored();
  });

  it('that is one too many for the upstream is not asked for again', async () => {
    limitEach(upstream, engine.clock, rate, () =>
      upstream.openBodies >= 3 ? { fail: upstream.error('rateLimited', '429', 429) } : {},
    );
    let refused = 0;
    const { script } = upstream;
    upstream.script = (request, index) => {
      const scripted = script(request, index);
      if (scripted.fail !== undefined) refused += 1;
      return scripted;
    };
    const { seconds } = await play(engine.clock, engine.get(upstream));
    expect(refused).toBeLessThanOrEqual(2);
    expect(seconds).toBeLessThan(aloneSeconds / 1.8);
    expect(upstream.sentBytes - blob.byteLength).toBeLessThanOrEqual(2 * chunkBytes);
    await expectStored();
  });

  it('that brings other bytes costs a second attempt, over one connection and another endpoint first', async () => {
    const wrong = content(blob.byteLength, 3);
    limitEach(upstream, engine.clock, rate, (_, index) => ({
      endpoint: `http://mirror-${index % 2}`,
      ...(index === 5 ? { bytes: wrong } : {}),
    }));
    const reader = engine.get(upstream).catch((error: unknown) => error);
    await play(engine.clock, reader);
    expect(await reader).toMatchObject({ name: 'BrokenBodyError' });
    await play(
      engine.clock,
      eventually(() => engine.fills.size === 0),
    );
    const last = upstream.asked.at(-1);
    expect(last?.range).toBe('whole');
    expect(last?.avoided.toSorted()).toEqual(['http://mirror-0', 'http://mirror-1']);
    expect(engine.rejected).toEqual(['digest-mismatch']);
    await expectStored();
  });
});

describe('what clients want ahead', () => {
  const part = (first: number, last: number) => [{ kind: 'closed', first, last }] as const;

  it('comes over several connections, before what nobody waits for', async () => {
    limitEach(upstream, engine.clock, rate);
    const whole = engine.get(upstream);
    await engine.clock.advance(100);
    const places = [60, 50, 40, 30].map((identity) => identity * mib);
    const wanted = Promise.all(places.map((at) => engine.get(upstream, { ranges: part(at, at + mib - 1) })));
    const { value, seconds } = await play(engine.clock, wanted);
    expect(value.map(({ digest }) => digest)).toEqual(places.map((at) => digestOf(blob.subarray(at, at + mib))));
    // One after the other, they would take four times as long.
    expect(seconds).toBeLessThan((2 * mib) / rate);
    expect((await play(engine.clock, whole)).value.digest).toBe(upstream.digest);
    expect(upstream.sentBytes - blob.byteLength).toBeLessThanOrEqual(2 * chunkBytes);
    await expectStored();
  });

  it('is asked for again after a failure, while the one transfer goes on', async () => {
    limitEach(upstream, engine.clock, rate, (_, index) => (index === 1 ? { fail: upstream.error('notFound') } : {}));
    const whole = engine.get(upstream);
    await engine.clock.advance(100);
    const wanted = engine.get(upstream, { ranges: part(60 * mib, 60 * mib + 99) });
    await engine.clock.advance(50);
    expect(upstream.asked).toHaveLength(2);
    const { seconds } = await play(engine.clock, wanted);
    expect(seconds).toBeLessThan(2);
    expect((await play(engine.clock, whole)).value.digest).toBe(upstream.digest);
    await expectStored();
  });
});
