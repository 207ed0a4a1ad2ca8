import { describe, expect, it } from 'vitest';
import { eventually } from '../support/gate.ts';
import { download } from './support/blob-client.ts';
import { Idlers } from './support/idlers.ts';
import { mb, mib, Stage } from './support/stage.ts';

const clients = 300;
const parts = 1024;
const partBytes = 40 * 1024;
const blobBytes = 64 * mib;

/** Far enough from each other that each is read and sent by itself. */
const ranges = Array.from({ length: parts }, (_, index) => {
  const start = index * (blobBytes / parts);
  return `${start}-${start + partBytes - 1}`;
}).join(',');

describe.each([
  // Of each client as much as the main thread holds, and of each thread the waste that its heap grows by before it is swept.
  ['threads of their own', 160, { serve: { threads: 2 } }],
  ['the main thread', 64, { serve: { threads: 1 } }],
])('300 clients of 1,024 parts that read nothing, served by %s', (_who, most, config) => {
  it('hold little above what a daemon has that was busy with such requests', { timeout: 180_000 }, async () => {
    await using stage = await Stage.set(config);
    const { weir } = stage;
    const { path } = stage.addBlob(blobBytes);
    await download(weir.port, path);
    await eventually(() => weir.blobs().length === 1);
    const Range = `bytes=${ranges}`;
    // What a busy daemon has besides: heaps of threads that have grown to their size, and buffers of readers.
    for (let round = 0; round < 8; round++) {
      const read = Array.from({ length: 16 }, () => download(weir.port, path, { headers: { Range } }));
      for (const answer of await Promise.all(read)) expect(answer).toMatchObject({ status: 206, isComplete: true });
    }
    const before = weir.rssBytes();
    using idlers = new Idlers(weir.port);
    await idlers.ask(
      Array.from({ length: clients }, () => path),
      '127.0.0.1',
      `Range: ${Range}\r\n`,
    );
    expect(idlers.statuses).toEqual(Array.from({ length: clients }, () => 'HTTP/1.1 206 Partial Content'));
    let held = 0;
    for (let sample = 0; sample < 30; sample++) {
      held = Math.max(held, weir.rssBytes());
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    console.log(`slow parts: ${(before / mb).toFixed(0)} MB before, at most ${(held / mb).toFixed(0)} MB with them`);
    expect(idlers.closed).toBe(0);
    expect(held - before).toBeLessThan(most * mb);
  });
});
