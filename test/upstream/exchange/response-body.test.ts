/** What a body promises whatever the HTTP library below it thinks of the end of a stream. */
import { Readable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { UpstreamError } from '../../../src/upstream/contract/errors.ts';
import { ResponseBody, type ResponseBodyOptions } from '../../../src/upstream/exchange/response-body.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { failureOf } from '../support/clients.ts';

function bodyOf(
  chunks: readonly string[],
  overrides: Partial<ResponseBodyOptions> = {},
): { body: ResponseBody; ends: boolean[]; clock: FakeClock; counted: number[] } {
  const ends: boolean[] = [];
  const counted: number[] = [];
  const clock = new FakeClock();
  const body = new ResponseBody({
    source: Readable.from(chunks.map((chunk) => Buffer.from(chunk))),
    declaredBytes: undefined,
    limits: { idleMs: 1000, floorBytesPerSecond: 1, floorWindowMs: 1000 },
    clock,
    broken: (kind, reason, cause) =>
      cause instanceof UpstreamError ? cause : new UpstreamError(kind, reason, { upstream: 'test', cause }),
    suspicion: () => undefined,
    onBytes: (bytes) => counted.push(bytes),
    onEnd: (isClean) => ends.push(isClean),
    ...overrides,
  });
  return { body, ends, clock, counted };
}

async function textOf(body: AsyncIterable<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of body) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

describe('response body', () => {
  it('is what was declared, and the connection is good for more', async () => {
    const { body, ends, counted, clock } = bodyOf(['abc', 'de'], { declaredBytes: 5 });
    expect(await textOf(body)).toBe('abcde');
    expect([ends, counted, clock.pending]).toEqual([[true], [3, 2], 0]);
  });

  it.each([
    ['shorter', 6, 'cut'],
    ['longer', 4, 'badResponse'],
    ['much longer', 1, 'badResponse'],
  ])('%s than declared never ends cleanly', async (_, declaredBytes, kind) => {
    const { body, ends } = bodyOf(['abc', 'de'], { declaredBytes });
    let read = 0;
    const failed = failureOf(
      (async () => {
        for await (const chunk of body) read += chunk.byteLength;
      })(),
    );
    expect((await failed).kind).toBe(kind);
    expect(read).toBeLessThanOrEqual(Math.min(declaredBytes, 5));
    expect(ends).toEqual([false]);
  });

  it.each([
    [5, 'badResponse'],
    [undefined, 'cut'],
  ])('of declared length %s does not end cleanly on a suspicious connection', async (declaredBytes, kind) => {
    const suspicion = (): Error => new Error('bytes after the end');
    const { body, ends } = bodyOf(['abc', 'de'], { declaredBytes, suspicion });
    expect((await failureOf(textOf(body))).kind).toBe(kind);
    expect(ends).toEqual([false]);
  });

  it('has nothing left after its end, and does not end cleanly after it was given up', async () => {
    const { body } = bodyOf(['abc']);
    await textOf(body);
    expect(await textOf(body)).toBe('');
    const source = Readable.from([Buffer.from('abc'), Buffer.from('de')]);
    const { body: other, ends } = bodyOf([], { source });
    for await (const _ of other) break;
    expect(source.destroyed).toBe(true);
    expect((await failureOf(textOf(other))).kind).toBe('cut');
    other.abort();
    expect(ends).toEqual([false]);
  });

  it('breaks with the error of its source', async () => {
    const source = new Readable({ read: () => undefined });
    const { body, ends } = bodyOf([], { source });
    const failed = failureOf(textOf(body));
    source.destroy(new Error('ECONNRESET'));
    expect((await failed).kind).toBe('cut');
    expect(ends).toEqual([false]);
  });

  it('that stalls is destroyed by its clock', async () => {
    const source = new Readable({ read: () => undefined });
    const { body, clock } = bodyOf([], { source });
    const failed = failureOf(textOf(body));
    await clock.advance(1000);
    expect((await failed).kind).toBe('timeout');
    expect(source.destroyed).toBe(true);
    expect(clock.pending).toBe(0);
  });

  it('is discarded up to 64 KiB, for the sake of the connection', async () => {
    const short = bodyOf(['x'.repeat(60_000)]);
    await short.body.discard();
    expect(short.ends).toEqual([true]);
    const long = bodyOf(['x'.repeat(60_000), 'x'.repeat(60_000), 'x']);
    await long.body.discard();
    expect(long.ends).toEqual([false]);
    const declared = bodyOf(['x'], { declaredBytes: 70_000 });
    await declared.body.discard();
    expect([declared.ends, declared.counted]).toEqual([[false], []]);
  });
});
