/** What lazy pullers do to a cold blob, in numbers: herds of parts, footers, hundreds of places a second, a thousand at once. */
import { describe, expect, it } from 'vitest';
import { type ByteSource, digestOfSource, randomSource } from '../support/byte-source.ts';
import { eventually, type Gate } from '../support/gate.ts';
import { RawConnection } from '../support/raw-client.ts';
import { delay, hold, shared } from '../support/upstream/behaviour.ts';
import { RateLimit } from '../support/upstream/rate-limit.ts';
import { download } from './support/blob-client.ts';
import { Stage, mb } from './support/stage.ts';

/** A blob of `Stage.addBlob` with its default seed, made again. */
const contentOf = (sizeBytes: number): ByteSource => randomSource(sizeBytes, sizeBytes);

/** The transfer from byte 0 stands still until the gate is opened; ranges elsewhere are answered. */
function holdFill(upstream: Stage['upstream'], digest: string): Gate {
  const fill = upstream.gate('the fill');
  upstream.on(
    { reference: digest, where: ({ headers }) => headers['range']?.startsWith('bytes=0-') === true },
    hold(0, fill),
  );
  return fill;
}

function digestOfPart(source: ByteSource, start: number, end: number): string {
  return digestOfSource({ sizeBytes: end - start, bytes: (from, to) => source.bytes(start + from, start + to) });
}

describe('100 clients with 16 parts each of one cold 100 MB blob', () => {
  const size = 100 * mb;
  const source = contentOf(size);
  const parts = Array.from({ length: 16 }, (_, index) => {
    const [start, end] = [(index * size) / 16, ((index + 1) * size) / 16];
    return { Range: `bytes=${start}-${end - 1}`, bytes: end - start, digest: digestOfPart(source, start, end) };
  });

  it.each([
    ['1.01x', 'all at once', 1.01],
    // Its transfer is left in the middle, once, with what lies in the buffers of that connection: up to 10 MiB on Linux.
    ['1.12x', 'beside one that pulls everything', 1.12],
  ])('cost the upstream at most %s its bytes, and every part is right (%s)', async (_, how, most) => {
    const isBeside = how !== 'all at once';
    await using stage = await Stage.set();
    const { upstream, weir } = stage;
    upstream.always = shared(new RateLimit(50 * mb));
    const { path, digest } = stage.addBlob(size);
    const whole = isBeside ? download(weir.port, path, { hashes: true }) : undefined;
    if (isBeside) await eventually(() => upstream.bytesSent({ reference: digest }) > mb);
    const ask = async (client: number, part: number): Promise<boolean> => {
      const { Range, bytes, digest: right } = parts[part] ?? { Range: '', bytes: 0, digest: '' };
      // Hashing 10 GB would be what is measured: one client in ten does, of all others the lengths are right.
      const hashes = client % 10 === 0;
      const got = await download(weir.port, path, { headers: { Range }, hashes });
      return got.status === 206 && got.isComplete && got.bytes === bytes && (!hashes || got.digest === right);
    };
    const all = Array.from({ length: 1600 }, (_unused, index) => ask(Math.floor(index / 16), index % 16));
    expect((await Promise.all(all)).filter((isRight) => isRight)).toHaveLength(1600);
    if (whole !== undefined) expect((await whole).digest).toBe(digest);
    await weir.idle();
    const ratio = upstream.bytesSent({ reference: digest }) / size;
    console.log(
      `lazy: 100 clients of 16 parts: ${ratio.toFixed(4)}x upstream, ${upstream.count({ reference: digest })} requests`,
    );
    expect(ratio).toBeLessThanOrEqual(most);
  });
});

describe('the footer of a cold 200 MB blob behind an upstream that is 200 ms away', () => {
  const size = 200 * mb;
  const footer = Buffer.from(contentOf(size).bytes(size - 64, size));
  const roundTripMs = 200;

  it.each([
    ['its last 64 bytes', 'bytes=-64'],
    ['64 bytes at a place', `bytes=${size - 64}-${size - 1}`],
  ])('arrives in one round trip (%s)', async (_, Range) => {
    await using stage = await Stage.set();
    const { upstream, weir } = stage;
    // The connection to the upstream is there: its handshake would be another round trip.
    await download(weir.port, stage.addBlob(1000, 'warm').path);
    upstream.always = delay(roundTripMs);
    const { path, digest } = stage.addBlob(size);
    const connection = await RawConnection.open(weir.url);
    const began = performance.now();
    connection.send(path, { headers: { Range } });
    const head = await connection.head();
    const { body } = await connection.body(head);
    const tookMs = performance.now() - began;
    connection.close();
    expect([head.status, head.headers['content-range']]).toEqual([206, `bytes ${size - 64}-${size - 1}/${size}`]);
    expect(body.equals(footer)).toBe(true);
    // The first question was that of the client, and nothing else had been answered when it was.
    expect(upstream.matching({ reference: digest }).map(({ headers }) => headers['range'])[0]).toBe(Range);
    expect(upstream.matching({ reference: digest }).filter(({ isComplete }) => isComplete)).toHaveLength(1);
    console.log(`lazy: a footer after ${tookMs.toFixed(0)} ms, of which ${roundTripMs} ms are the round trip`);
    expect(tookMs).toBeLessThan(2 * roundTripMs);
  });
});

describe('tiny ranges all over a 400 MB blob', () => {
  const size = 400 * mb;
  const source = contentOf(size);

  it('come by the hundreds a second while the fill stands still and its upstream is 20 ms away, and faster when it is there', async () => {
    await using stage = await Stage.set();
    const { upstream, weir } = stage;
    upstream.always = delay(20);
    const { path, digest } = stage.addBlob(size);
    const fill = holdFill(upstream, digest);
    // Beyond what the fill has asked for. Multiples of a number that has no factor in common with the size: places in no order, each of them once.
    const places = Array.from({ length: 1500 }, (_, index) => 2 * mb + ((index * 39_916_801) % (size - 3 * mb)));
    const cold = await askAll(stage, path, source, places);
    expect(fill.held).toBe(1);
    console.log(`lazy: cold, ${cold.text}`);
    fill.open();
    await eventually(
      () => weir.blobs().includes(digest),
      () => 'the blob in the store',
      60_000,
    );
    const warm = await askAll(stage, path, source, [...places, ...places, ...places]);
    console.log(`lazy: warm, ${warm.text}`);
    expect(upstream.bytesSent({ reference: digest })).toBeLessThanOrEqual(size * 1.01);
    expect(cold.perSecond).toBeGreaterThan(100);
    expect(warm.perSecond).toBeGreaterThan(500);
    // nydusd gives up after 5 s.
    expect(cold.slowestMs).toBeLessThan(5000);
  });
});

describe('a 40 MB blob behind an upstream that gives 1 MB/s', () => {
  const size = 40 * mb;

  it('gives tiny ranges anywhere, also just ahead of what it is at, within the 5 s that nydusd waits', async () => {
    await using stage = await Stage.set();
    const { upstream, weir } = stage;
    upstream.always = shared(new RateLimit(mb));
    const { path, digest } = stage.addBlob(size);
    const source = contentOf(size);
    const ask = async (place: number): Promise<number> => {
      const Range = `bytes=${place}-${place + 4095}`;
      const got = await download(weir.port, path, { headers: { Range }, hashes: true });
      expect([got.status, got.digest]).toEqual([206, digestOfPart(source, place, place + 4096)]);
      return got.totalMs;
    };
    const times = [await ask(20 * mb)];
    await eventually(() => upstream.bytesSent({ reference: digest }) > 2 * mb);
    for (const ahead of [6, 12, 3, 1.5, 0.7, 0.2]) {
      // What was sent but for the other ranges is the prefix.
      const prefix = upstream.bytesSent({ reference: digest }) - (times.length - 1) * 262_144;
      times.push(await ask(Math.round(prefix + ahead * mb)));
    }
    console.log(`lazy: behind 1 MB/s after ${times.map((ms) => ms.toFixed(0)).join(', ')} ms`);
    expect(Math.max(...times)).toBeLessThan(5000);
  });
});

describe('1,024 ranges in one header of 22 KiB', () => {
  it('of a cold 1.3 GB layer are 1,024 parts in the order of the request, long before the layer is there', async () => {
    const size = 1_300 * mb;
    const source = contentOf(size);
    await using stage = await Stage.set();
    const { upstream, weir } = stage;
    upstream.always = delay(20);
    const { path, digest } = stage.addBlob(size);
    const fill = holdFill(upstream, digest);
    const spans = Array.from(
      { length: 1024 },
      (_, index) => [1_000_000_000 + index * 293_000, 1000 + (index % 900)] as const,
    );
    const ranges = spans.map(([start, length], index) => `${start}-${index === 1023 ? '' : start + length - 1}`);
    const Range = `bytes=${ranges.join(',')}`;
    expect(Range.length).toBeGreaterThan(22_500);
    using connection = await RawConnection.open(weir.url);
    const began = performance.now();
    connection.send(path, { headers: { Range } });
    const head = await connection.head();
    expect(head.status).toBe(206);
    const { body, cleanEnd } = await connection.body(head);
    const seconds = (performance.now() - began) / 1000;
    console.log(
      `lazy: 1,024 places in ${seconds.toFixed(1)} s, one after the other would be more than ${1024 * 0.02} s`,
    );
    expect(cleanEnd).toBe(true);
    expect(seconds).toBeLessThan(1024 * 0.02);
    expect(body.toString('latin1').match(/Content-Range: bytes [0-9]+-/g)).toEqual(
      spans.map(([start]) => `Content-Range: bytes ${start}-`),
    );
    let at = 0;
    for (const [index, [start, length]] of spans.entries()) {
      at = body.indexOf('\r\n\r\n', at) + 4;
      const end = index === 1023 ? size : start + length;
      expect(body.subarray(at, at + end - start).equals(Buffer.from(source.bytes(start, end)))).toBe(true);
      at += end - start;
    }
    expect(fill.held).toBe(1);
  });
});

/** Asks for 4 KiB at each of the places over 32 connections, and looks at every byte. */
async function askAll(
  { weir }: Stage,
  path: string,
  source: ByteSource,
  places: readonly number[],
): Promise<{ readonly perSecond: number; readonly slowestMs: number; readonly text: string }> {
  const times: number[] = [];
  let next = 0;
  const client = async (): Promise<void> => {
    using connection = await RawConnection.open(weir.url);
    for (let place = places[next++]; place !== undefined; place = places[next++]) {
      const began = performance.now();
      connection.send(path, { headers: { Range: `bytes=${place}-${place + 4095}` } });
      const head = await connection.head();
      const { body } = await connection.body(head);
      times.push(performance.now() - began);
      expect([head.status, body.equals(Buffer.from(source.bytes(place, place + 4096)))]).toEqual([206, true]);
    }
  };
  const began = performance.now();
  await Promise.all(Array.from({ length: 32 }, client));
  const perSecond = places.length / ((performance.now() - began) / 1000);
  times.sort((a, b) => a - b);
  const [median = NaN, p99 = NaN, slowestMs = NaN] = [0.5, 0.99, 1].map(
    (part) => times[Math.ceil(times.length * part) - 1],
  );
  const text = `${perSecond.toFixed(0)} tiny ranges a second; median ${median.toFixed(1)} ms, p99 ${p99.toFixed(0)} ms, slowest ${slowestMs.toFixed(0)} ms`;
  return { perSecond, slowestMs, text };
}
