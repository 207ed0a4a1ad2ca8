/** What a request for a thousand parts costs, in CPU of the process, beside one for as many bytes in one piece. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { eventually } from '../support/gate.ts';
import { download } from './support/blob-client.ts';
import { mib, Stage } from './support/stage.ts';

const parts = 1024;
const size = 64 * mib;
const rounds = 20;

/** Milliseconds of CPU that the process has used. Linux counts in steps of 10 ms. */
function cpuMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

const far = Math.floor(size / parts);
const placesOf = (at: (index: number) => number): string =>
  Array.from({ length: parts }, (_, index) => `${at(index)}-${at(index)}`).join(',');

describe.each([
  ['threads of their own', {}],
  ['the main thread', { serve: { threads: 1 } }],
])('1,024 ranges of one byte, served by %s', (_who, config) => {
  it('cost little more than their answer in one piece', { timeout: 120_000 }, async () => {
    await using stage = await Stage.set(config);
    const { weir } = stage;
    const { path } = stage.addBlob(size);
    await download(weir.port, path);
    await eventually(() => weir.blobs().length === 1);
    const ask = (Range: string) => download(weir.port, path, { headers: { Range: `bytes=${Range}` } });
    const costOf = async (Range: string): Promise<number> => {
      for (let round = 0; round < 5; round++) await ask(Range);
      const before = cpuMs(weir.pid);
      for (let round = 0; round < rounds; round++)
        expect(await ask(Range)).toMatchObject({ status: 206, isComplete: true });
      return (cpuMs(weir.pid) - before) / rounds;
    };
    const answer = await ask(placesOf((index) => index * far));
    const costs = {
      piece: await costOf(`0-${answer.bytes - 1}`),
      near: await costOf(placesOf((index) => 2 * index)),
      same: await costOf(placesOf(() => 7)),
      far: await costOf(placesOf((index) => index * far)),
      backwards: await costOf(placesOf((index) => (parts - 1 - index) * far)),
    };
    const { piece, near, same, far: apart, backwards } = costs;
    console.log(`ranges: ms of CPU of a request: ${JSON.stringify(costs)}`);
    // Opening, reading and writing each by itself was 200 times as much.
    expect(Math.max(near, same)).toBeLessThan(12 * Math.max(piece, 2));
    expect(Math.max(apart, backwards)).toBeLessThan(40 * Math.max(piece, 2));
  });
});
