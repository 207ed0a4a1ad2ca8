import { describe, expect, it } from 'vitest';
import type { BlobReader, BlobView, BodySpan } from '../../../src/fill/contract/blob-view.ts';
import type { PartGroup } from '../../../src/http/v2/part-groups.ts';
import { PartReaders } from '../../../src/http/v2/part-readers.ts';

const never = new AbortController().signal;
/** Too far to be read together. */
const far = 100_000;
const spans = Array.from({ length: 20 }, (_, index) => ({ start: index * far, end: index * far + 1 }));
/** Everything that is due by now has happened. */
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function viewOf(isProved: boolean, open: (span: BodySpan) => Promise<void> = () => Promise.resolve()) {
  const opened: number[] = [];
  const closed: number[] = [];
  const view = {
    isProved,
    outcome: { kind: isProved ? 'hit' : 'miss' },
    async open(span: BodySpan): Promise<BlobReader> {
      opened.push(span.start);
      await open(span);
      return { close: () => void closed.push(span.start) } as unknown as BlobReader;
    },
  } as unknown as BlobView;
  return { view, opened, closed };
}

function groupsOf(readers: PartReaders): readonly PartGroup[] {
  const groups: PartGroup[] = [];
  for (let group = readers.groupFrom(0); group !== undefined; group = readers.groupFrom(group.first + group.count))
    groups.push(group);
  return groups;
}

describe('the readers of an answer in parts', () => {
  it('are one for all parts of a proved blob, closed at the end', async () => {
    const { view, opened, closed } = viewOf(true);
    {
      using readers = new PartReaders(view, spans, never);
      const first = await readers.first();
      for (const _ of groupsOf(readers)) {
        expect(await readers.current()).toBe(first);
        readers.done();
      }
      await settled();
      expect([readers.isShared, groupsOf(readers).length, closed]).toEqual([true, 20, []]);
    }
    await settled();
    expect([opened, closed]).toEqual([[0], [0]]);
  });

  it('are one for all that is left when the blob is proved meanwhile', async () => {
    const { view, opened, closed } = viewOf(false);
    {
      using readers = new PartReaders(view, spans, never);
      await readers.first();
      Object.assign(view, { isProved: true });
      for (const _ of groupsOf(readers)) {
        await readers.current();
        readers.done();
      }
    }
    await settled();
    expect([opened, closed]).toEqual([
      [0, far],
      [0, far],
    ]);
  });

  it('are one for each part when what lay in the store has to be brought again, and for each by itself when it passes through', async () => {
    for (const [kind, groups] of [
      ['miss', 1],
      ['bypass', 20],
    ] as const) {
      const near = spans.map(({ start }) => ({ start: start / 1000, end: start / 1000 + 1 }));
      const apart = [...near, { start: 10_000_000, end: 10_000_001 }];
      const { view, opened, closed } = viewOf(true, () => {
        Object.assign(view, { isProved: false, outcome: { kind } });
        return Promise.resolve();
      });
      {
        using readers = new PartReaders(view, apart, never);
        await readers.first();
        expect([readers.isShared, groupsOf(readers).length]).toEqual([false, groups + 1]);
        expect([opened, closed]).toEqual([[0, 0], [0]]);
      }
      await settled();
      expect(closed).toEqual([0, 0]);
    }
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
      if (span.start === far) return Promise.reject(new Error('gone'));
      return span.start === 2 * far ? new Promise(() => undefined) : Promise.resolve();
    });
    {
      using readers = new PartReaders(view, spans, never);
      await readers.current();
      readers.done();
      await expect(readers.current()).rejects.toThrow('gone');
    }
    await settled();
    expect(closed.toSorted((a, b) => a - b)).toEqual([0, 3, 4, 5, 6, 7, 8].map((index) => index * far));
  });
});
