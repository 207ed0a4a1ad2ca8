/** The power goes while four fills run, on an ext4 that keeps only what was synced. */
import { readdir, readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { randomBytesOf } from '../support/byte-source.ts';
import { readRange } from '../store/contract.ts';
import { type ChildLine, startChild } from '../store/support/child.ts';
import { blobSize } from '../store/support/fill-content.ts';
import { blobFile, content, dumpTree, ingestNames, openTestStore } from '../store/support/harness.ts';
import { type PowerCut, powerDisk } from './support/disks.ts';
import { countOf } from './support/tier.ts';

const cycles = countOf('FAULTS_POWER_CYCLES', 12, 36);

describe('a power loss', () => {
  for (const how of ['flush nothing', 'flush the journal', 'flush all'] satisfies PowerCut[]) {
    it(`(${how}) takes no proved blob, and leaves no wrong one that is taken for proved`, async () => {
      await using disk = await powerDisk(256);
      const root = `${disk.path}/root`;
      const seen = { proved: 0, resumed: 0, suspects: 0 };
      for (let cycle = 0; cycle < cycles; cycle++) {
        const first = cycle * 10_000;
        {
          await using child = startChild('fill-child.ts', [root, String(first)]);
          await child.said(2 + Math.floor(Math.random() * 40));
          await new Promise((resolve) => setTimeout(resolve, Math.random() * 10));
          disk.cutPower(how);
          // What the child is told from here on is not true any more; it was said before the pipe is read to its end.
          child.process.kill('SIGKILL');
          await child.ended();
          disk.powerOn();
          await check(root, first, child.lines, seen).catch(async (error: unknown) => {
            throw new Error(`cycle ${cycle}\n${await dumpTree(root)}`, { cause: error });
          });
        }
      }
      expect(seen.proved).toBeGreaterThan(cycles);
      expect(seen.resumed).toBeGreaterThan(0);
    });
  }
});

async function check(
  root: string,
  first: number,
  lines: readonly ChildLine[],
  seen: { proved: number; resumed: number; suspects: number },
): Promise<void> {
  const adopted = new Set(lines.filter(({ event }) => event === 'adopted').map((line) => Number(line['number'])));
  const synced = new Map<number, number>();
  for (const { event, number, bytes } of lines) if (event === 'synced') synced.set(Number(number), Number(bytes));
  const last = Math.max(first, ...adopted, ...synced.keys()) + 8;
  await using opened = await openTestStore(root);
  const { store } = opened;
  for (let number = first; number <= last; number++) {
    const { digest, bytes } = content(randomBytesOf(blobSize(number), `fill ${number}`));
    const info = await store.stat(digest);
    // Removals are not synced, so every tenth may be here or not.
    if (adopted.has(number) && number % 10 !== 0) expect(info, `blob ${number}`).toBeDefined();
    const ingest = await store.resumeIngest({ digest, upstream: 'u' });
    const promised = info === undefined && number % 10 !== 0 ? (synced.get(number) ?? 0) : 0;
    expect(ingest?.resumed.at(-1)?.end ?? 0, `partial ${number}`).toBeGreaterThanOrEqual(promised);
    if (ingest === undefined) continue;
    const reader = await ingest.openReader();
    for (const { start, end } of ingest.resumed) {
      expect(await readRange(reader, start, end - start), `partial ${number}`).toEqual(bytes.subarray(start, end));
    }
    await reader.close();
    await ingest.abort('given up');
    seen.resumed++;
  }
  expect(await opened.recovered).toMatchObject({ isComplete: true });
  for (const hex of await readdir(`${root}/blobs/sha256`)) {
    const bytes = await readFile(`${root}/blobs/sha256/${hex}`);
    const digest = digestOf(bytes);
    const info = digest.endsWith(hex) ? await store.stat(digest) : undefined;
    if (info === undefined) {
      // A name may have survived without its bytes. Then nobody has vouched for it, and hashing it finds out.
      seen.suspects++;
      continue;
    }
    expect(blobFile(root, digest)).toContain(hex);
    seen.proved++;
  }
  for (const blob of opened.metadata.blobs.oldest(10_000)) {
    if (blob.isSuspect) await store.readAll(blob.digest, 1_000_000);
    else expect(digestOf(await readFile(blobFile(root, blob.digest)))).toBe(blob.digest);
  }
  // After every suspect was read once, all that is left is right.
  for (const hex of await readdir(`${root}/blobs/sha256`)) {
    expect(digestOf(await readFile(`${root}/blobs/sha256/${hex}`))).toBe(`sha256:${hex}`);
  }
  expect(await ingestNames(root)).toEqual([]);
}
