/** What a reader says of the file in which its bytes lie, for senders that work on descriptors. */
import { describe, expect, it } from 'vitest';
import { BrokenBodyError } from '../../../src/fill/contract/errors.ts';
import type { CacheEvents } from '../../../src/fill/contract/events.ts';
import {
  FillReader,
  type FillReaderOptions,
  isShortRange,
  maxUnprovedRangeBytes,
} from '../../../src/fill/readers/reader.ts';
import { Attempt } from '../../../src/fill/attempt/attempt.ts';
import type { Ingest } from '../../../src/store/contract/blob-store.ts';
import type { TailReader } from '../../../src/fill/readers/passthrough-reader.ts';
import { Demand } from '../../../src/fill/attempt/demand.ts';
import { silentLogger } from '../../../src/lib/log.ts';
import { Semaphore } from '../../../src/lib/semaphore.ts';
import { digestOf } from '../../../src/oci/digest.ts';
import type { Repository } from '../../../src/oci/reference.ts';
import { FakeClock } from '../../support/fake-clock.ts';

const sizeBytes = 1_000_000;
const never = new AbortController().signal;

/** Of which the first half is there. */
function generationOn(fd: number): Attempt {
  const resumed = [{ start: 0, end: sizeBytes / 2 }];
  const ingest = { resumed, claimedSizeBytes: sizeBytes } as unknown as Ingest;
  const file = { fd, read: async (_: Uint8Array, __: number, length: number) => length, close: async () => {} };
  const digest = digestOf(new Uint8Array(0));
  const hashTurns = new Semaphore(1);
  return new Attempt({
    digest,
    ingest,
    file,
    clock: new FakeClock(),
    logger: silentLogger,
    hashTurns,
  });
}

function readerOf(attempt: Attempt, options: Partial<FillReaderOptions> = {}) {
  const unproved: number[] = [];
  const events = { unprovedRangeBytes: ({ bytes }) => void unproved.push(bytes) } as CacheEvents;
  const reader = new FillReader({
    attempt,
    demand: new Demand(),
    span: { start: 0, end: sizeBytes },
    declaredBytes: sizeBytes,
    repository: 'a/b' as Repository,
    events,
    successor: () => undefined,
    openTail: () => Promise.reject(new Error('no tail')),
    ...options,
  });
  return { reader, unproved };
}

describe('a reader of a growing file', () => {
  it('names the descriptor, and counts what was sent from there as if it had been read', () => {
    const attempt = generationOn(7);
    const { reader, unproved } = readerOf(attempt, { span: { start: 10, end: 3000 } });
    expect([reader.fd, reader.readable(10, never)]).toEqual([7, 3000]);
    reader.sent(2990);
    expect(unproved).toEqual([2990]);
    attempt.prove();
    reader.sent(1);
    expect(unproved).toEqual([2990]);
    reader.close();
    attempt.release();
  });

  it('names that of the next attempt when it was given nothing of a broken one', async () => {
    const [broken, next] = [generationOn(7), generationOn(8)];
    const { reader } = readerOf(broken, { successor: () => Promise.resolve(next) });
    expect(reader.readable(0, never)).toBe(sizeBytes / 2);
    broken.break(new BrokenBodyError('wrong'));
    expect(await reader.readable(0, never)).toBe(sizeBytes / 2);
    expect(reader.fd).toBe(8);
    reader.close();
    for (const attempt of [broken, next]) attempt.release();
  });

  it('is reset with its attempt when bytes of that were sent', async () => {
    const [broken, next] = [generationOn(7), generationOn(8)];
    const { reader } = readerOf(broken, { successor: () => Promise.resolve(next) });
    reader.sent(1);
    broken.break(new BrokenBodyError('wrong'));
    await expect(reader.readable(1, never)).rejects.toThrow('wrong');
    reader.close();
    for (const attempt of [broken, next]) attempt.release();
  });

  it('names none once its bytes come by a transfer of its own', async () => {
    const attempt = generationOn(7);
    const tail = { readable: () => sizeBytes, close: () => undefined } as unknown as TailReader;
    const { reader } = readerOf(attempt, { openTail: () => Promise.resolve(tail) });
    attempt.freeze();
    expect(await reader.readable(sizeBytes / 2, never)).toBe(sizeBytes);
    expect(reader.fd).toBeUndefined();
    reader.close();
    attempt.release();
  });
});

describe('a span that may leave before the proof', () => {
  const size = 10 * maxUnprovedRangeBytes;
  const max = maxUnprovedRangeBytes;
  it.each([
    [true, 'is short, from the start', { start: 0, end: 2 }, size],
    [true, 'is 4 MiB, from the start', { start: 0, end: max }, size],
    [true, 'is all but the last byte of a short blob', { start: 0, end: 99 }, 100],
    [true, 'is short, to the end', { start: size - 8, end: size }, size],
    [false, 'is longer, from the start', { start: 0, end: max + 1 }, size],
    [false, 'is longer, in the middle', { start: 1, end: max + 2 }, size],
    [false, 'is all of a short blob', { start: 0, end: 100 }, 100],
    [false, 'may be all, of a blob whose size is not known', { start: 0, end: 100 }, undefined],
    [false, 'has no end', { start: 5, end: undefined }, undefined],
    [false, 'ends a long answer', { start: 5, end: 6, isHeldBack: true } as const, size],
  ])('%s: one that %s', (isShort, _, span, declaredBytes) => {
    expect(isShortRange(span, declaredBytes)).toBe(isShort);
  });
});
