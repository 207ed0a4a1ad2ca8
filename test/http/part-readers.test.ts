import { describe, expect, it } from 'vitest';
import type { BlobReader, BlobView, BodySpan } from '../../src/cache/blob-view.ts';
import { PartReaders } from '../../src/http/part-readers.ts';

const never = new AbortController().signal;
const spans = Array.from({ length: 20 }, (_, index) => ({ start: index * 10, end: index * 10 + 1 }));
/** Everything that is due by now has happened. */
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function viewOf(isProved: boolean, open: (span: BodySpan) => Promise<void> = () => Promise.resolve()) {
  const opened: number[] = [];
  const closed: number[] = [];
  const view = {
    isProved,
    async open(span: BodySpan): Promise<BlobReader> {
      opened.push(span.start);
      await open(span);
      return { close: () => void closed.push(span.start) } as unknown as BlobReader;
    },
  } as unknown as BlobView;
  return { view, opened, closed };
}

describe('the readers of an answer in parts', () => {
  it('are opened one at a time for a proved blob, and each is closed when its part is sent', async () => {
    const { view, opened, closed } = viewOf(true);
    using readers = new PartReaders(view, spans, never);
    for (const { start } of spans) {
      await readers.current();
      expect(opened.at(-1)).toBe(start);
      readers.done();
      await settled();
      expect(closed.at(-1)).toBe(start);
    }
    expect(opened).toHaveLength(20);
  });

  it('are opened eight at a time for one that is on its way, but not before the first one is known to work', async () => {
    const { view, opened, closed } = viewOf(false);
    {
      using readers = new PartReaders(view, spans, never);
      await readers.first();
      expect(opened).toEqual([0]);
      await readers.current();
      expect(opened).toEqual(spans.slice(0, 8).map(({ start }) => start));
      readers.done();
      await readers.current();
      expect(opened).toHaveLength(9);
    }
    await settled();
    expect(closed.toSorted((a, b) => a - b)).toEqual(spans.slice(0, 9).map(({ start }) => start));
  });

  it('wait for no other one, and fail where the part is that has failed', async () => {
    const { view, closed } = viewOf(false, (span) => {
      if (span.start === 10) return Promise.reject(new Error('gone'));
      return span.start === 20 ? new Promise(() => undefined) : Promise.resolve();
    });
    {
      using readers = new PartReaders(view, spans, never);
      await readers.current();
      readers.done();
      await expect(readers.current()).rejects.toThrow('gone');
    }
    await settled();
    expect(closed.toSorted((a, b) => a - b)).toEqual([0, 30, 40, 50, 60, 70, 80]);
  });
});
