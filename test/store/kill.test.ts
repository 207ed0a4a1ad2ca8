import { readdir, readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { randomBytesOf } from '../support/byte-source.ts';
import { tempDirectory } from '../support/temp.ts';
import { readRange } from './contract.ts';
import { type ChildLine, startChild } from './support/child.ts';
import { blobSize } from './support/fill-content.ts';
import { type Content, content, dumpTree, ingestNames, openTestStore } from './support/harness.ts';

const budgetMs = 5000;
const leastKills = 4;
const mostKills = 40;

interface Seen {
  blobs: number;
  adopted: number;
  resumed: number;
}

describe('kill -9 while four fills run', () => {
  it('leaves only blobs that are what their names say, all that were adopted, and partials as far as they were synced', async () => {
    await using temp = await tempDirectory('kill');
    const seen: Seen = { blobs: 0, adopted: 0, resumed: 0 };
    let kills = 0;
    const isEnough = (): boolean => kills >= leastKills && seen.blobs > 10 && seen.adopted > 10 && seen.resumed > 0;
    for (const startMs = performance.now(); kills < mostKills; kills++) {
      if (isEnough() && performance.now() - startMs > budgetMs) break;
      await using child = startChild('fill-child.ts', [temp.path, String(kills * 10_000)]);
      // Early kills hit the first commits, late ones a store in full swing; the last milliseconds hit any step of them.
      await child.said(2 + Math.floor(Math.random() * 15 * (1 + (kills % 4))));
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 10));
      child.process.kill('SIGKILL');
      expect(await child.ended()).toBe('SIGKILL');
      try {
        await checkBlobs(temp.path, seen);
        await checkPromises(temp.path, child.lines, kills * 10_000, seen);
      } catch (error) {
        if (error instanceof Error) error.message += `\n\nThe root held:\n${await dumpTree(temp.path)}`;
        throw error;
      }
    }
    // A run in which the kills came too early proves nothing.
    expect(isEnough(), `${kills} kills, ${JSON.stringify(seen)}`).toBe(true);
  }, 300_000);
});

/** Looks at the files alone, before any store does. */
async function checkBlobs(root: string, seen: Seen): Promise<void> {
  for (const hex of await readdir(`${root}/blobs/sha256`)) {
    expect(digestOf(await readFile(`${root}/blobs/sha256/${hex}`))).toBe(`sha256:${hex}`);
    seen.blobs++;
  }
}

async function checkPromises(root: string, lines: readonly ChildLine[], first: number, seen: Seen): Promise<void> {
  const adopted = new Set(lines.filter(({ event }) => event === 'adopted').map((line) => Number(line['number'])));
  const synced = new Map<number, number>();
  for (const { event, number, bytes } of lines) if (event === 'synced') synced.set(Number(number), Number(bytes));

  await using opened = await openTestStore(root);
  expect(opened.wasClean).toBe(false);
  // Every tenth is removed again after it was adopted, or was about to be.
  for (const number of [...adopted].filter((each) => each % 10 !== 0)) {
    const { bytes, digest } = blob(number);
    expect(await opened.store.stat(digest), `blob ${number}`).toMatchObject({ sizeBytes: bytes.length });
    seen.adopted++;
  }
  // The child may have been killed between a promise kept and telling us, so there can be more than it told.
  const last = Math.max(first, ...adopted, ...synced.keys()) + 8;
  for (let number = first; number <= last; number++) {
    const { bytes, digest } = blob(number);
    const promised = adopted.has(number) ? 0 : (synced.get(number) ?? 0);
    const ingest = await opened.store.resumeIngest({ digest, upstream: 'u' });
    if (ingest === undefined) {
      const isStored = (await opened.store.stat(digest)) !== undefined;
      expect(promised === 0 || isStored || number % 10 === 0, `partial ${number}`).toBe(true);
      continue;
    }
    const reached = ingest.resumed.at(-1)?.end ?? 0;
    expect(ingest.resumed, `partial ${number}`).toEqual([{ start: 0, end: reached }]);
    expect(reached).toBeGreaterThanOrEqual(promised);
    expect(ingest.claimedSizeBytes).toBe(bytes.length);
    const reader = await ingest.openReader();
    expect(await readRange(reader, 0, reached)).toEqual(bytes.subarray(0, reached));
    await reader.close();
    await ingest.write([bytes.subarray(reached)], reached);
    await ingest.adopt(bytes.length);
    seen.resumed++;
  }
  expect(await opened.recovered).toMatchObject({ isComplete: true });
  const files = await readdir(`${root}/blobs/sha256`);
  expect(opened.metadata.blobs.totals().blobs).toBe(files.length);
  expect(await ingestNames(root)).toEqual([]);
}

function blob(number: number): Content {
  return content(randomBytesOf(blobSize(number), `fill ${number}`));
}
