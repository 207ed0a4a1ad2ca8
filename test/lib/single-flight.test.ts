import { describe, expect, it } from 'vitest';
import { Coalesce } from '../../src/lib/single-flight.ts';

describe('coalesce', () => {
  it('runs the work once for all who ask meanwhile, and again afterwards', async () => {
    const table = new Coalesce<number>();
    let runs = 0;
    const gate = Promise.withResolvers<void>();
    const work = async (): Promise<number> => {
      await gate.promise;
      return ++runs;
    };
    const all = Array.from({ length: 100 }, () => table.run('a', work));
    expect([table.size, table.has('a'), table.has('b')]).toEqual([1, true, false]);
    gate.resolve();
    expect(new Set(await Promise.all(all))).toEqual(new Set([1]));
    expect(table.size).toBe(0);
    await expect(table.run('a', work)).resolves.toBe(2);
  });

  it('keeps keys apart, of any type', async () => {
    const table = new Coalesce<string, object>();
    const [one, two] = [{}, {}];
    await expect(
      Promise.all([table.run(one, () => Promise.resolve('one')), table.run(two, () => Promise.resolve('two'))]),
    ).resolves.toEqual(['one', 'two']);
  });

  it('shares a failure and forgets it, a synchronous one too', async () => {
    const table = new Coalesce<number>();
    const fail = (): Promise<number> => {
      throw new Error('at once');
    };
    const both = [table.run('a', fail), table.run('a', fail)];
    for (const waiting of both) await expect(waiting).rejects.toThrow('at once');
    expect(table.size).toBe(0);
    await expect(table.run('a', () => Promise.resolve(1))).resolves.toBe(1);
  });

  it("ends only the waiting of a caller who leaves; the work's signal is the table's", async () => {
    const table = new Coalesce<string>();
    const gate = Promise.withResolvers<string>();
    const controller = new AbortController();
    let seen: AbortSignal | undefined;
    const leaver = table.run(
      'a',
      (signal) => {
        seen = signal;
        return gate.promise;
      },
      controller.signal,
    );
    const stayer = table.run('a', () => Promise.reject(new Error('must not start')));
    controller.abort(new Error('left'));
    await expect(leaver).rejects.toThrow('left');
    expect(seen?.aborted).toBe(false);
    gate.resolve('done');
    await expect(stayer).resolves.toBe('done');
  });

  it('starts nothing for a caller who has left already', async () => {
    const table = new Coalesce<string>();
    await expect(
      table.run('a', () => Promise.reject(new Error('started')), AbortSignal.abort(new Error('gone'))),
    ).rejects.toThrow('gone');
    expect(table.size).toBe(0);
  });

  it('does not call a failure unhandled when everybody has left', async () => {
    const unhandled: unknown[] = [];
    const listen = (reason: unknown): void => void unhandled.push(reason);
    process.on('unhandledRejection', listen);
    const table = new Coalesce<string>();
    const gate = Promise.withResolvers<string>();
    const controller = new AbortController();
    const leaver = table.run('a', () => gate.promise, controller.signal);
    controller.abort(new Error('left'));
    await expect(leaver).rejects.toThrow('left');
    gate.reject(new Error('later'));
    await new Promise((resolve) => setImmediate(resolve));
    await new Promise((resolve) => setImmediate(resolve));
    process.off('unhandledRejection', listen);
    expect(unhandled).toEqual([]);
    expect(table.size).toBe(0);
  });

  it('aborts its work when it closes', async () => {
    const table = new Coalesce<string>();
    const waiting = table.run(
      'a',
      (signal) =>
        new Promise((_, reject) =>
          signal.addEventListener('abort', () => reject(new Error('stopped', { cause: signal.reason }))),
        ),
    );
    await Promise.resolve();
    table.close(new Error('shutdown'));
    await expect(waiting).rejects.toMatchObject({ message: 'stopped', cause: { message: 'shutdown' } });
  });
});
