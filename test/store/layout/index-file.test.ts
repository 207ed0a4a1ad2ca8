import { execFileSync } from 'node:child_process';
import { mkdir, readFile, rm, stat } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { digestOf } from '../../../src/oci/digest.ts';
import { type LayoutEntry, parseLayoutIndex } from '../../../src/oci/layout.ts';
import type { TagRecord } from '../../../src/store/contract/metadata.ts';
import { byAnybody } from '../../../src/store/contract/origin.ts';
import { eventually } from '../../support/gate.ts';
import { tempDirectory } from '../../support/temp.ts';
import { openTestStore, repositoryKey, tagKey, type TestStore } from '../support/harness.ts';

const record = (text: string, changes: Partial<TagRecord> = {}): TagRecord => ({
  digest: digestOf(text),
  mediaType: 'application/vnd.oci.image.manifest.v1+json',
  sizeBytes: text.length,
  checkedAtMs: 1234,
  isDenied: false,
  ...changes,
});

async function entriesOf(root: string): Promise<readonly LayoutEntry[]> {
  return parseLayoutIndex(await readFile(`${root}/index.json`)) ?? [];
}

async function namesIn(root: string): Promise<readonly string[]> {
  return (await entriesOf(root)).map(({ refName = '' }) => refName).toSorted((one, other) => one.localeCompare(other));
}

/** Lets the catalog commit and index.json follow, and waits for the write itself. */
async function follow(opened: TestStore): Promise<void> {
  await opened.clock.advance(50);
  await opened.clock.advance(1000);
  await opened.index.flush();
}

describe('index.json', () => {
  it('names every cached tag, with its digest, size and type', async () => {
    await using temp = await tempDirectory('index');
    await using opened = await openTestStore(temp.path);
    await opened.recovered;
    opened.metadata.tags.put(tagKey('library/alpine', '3.20'), record('one'));
    opened.metadata.tags.put(tagKey('team/app', 'v1', 'lab.example:5000'), record('two'));
    opened.metadata.links.add(tagKey('library/alpine', '3.20'), digestOf('one'), 'manifest', { origin: byAnybody });
    opened.metadata.flush();
    await opened.index.flush();
    expect(await entriesOf(temp.path)).toEqual([
      {
        refName: 'docker.io/library/alpine:3.20',
        descriptor: {
          mediaType: 'application/vnd.oci.image.manifest.v1+json',
          digest: digestOf('one'),
          size: 3,
          annotations: {
            'org.opencontainers.image.ref.name': 'docker.io/library/alpine:3.20',
            'weir.checked-at-ms': '1234',
            'weir.origin': 'anonymous',
          },
        },
      },
      expect.objectContaining({ refName: 'lab.example:5000/team/app:v1' }),
    ]);
  });

  it('leaves denied tags out: what it names may be served', async () => {
    await using temp = await tempDirectory('index');
    await using opened = await openTestStore(temp.path);
    await opened.recovered;
    opened.metadata.tags.put(tagKey('a', 'v1'), record('one'));
    opened.metadata.tags.put(tagKey('b', 'v1'), record('one'));
    await follow(opened);
    expect(await namesIn(temp.path)).toEqual(['docker.io/a:v1', 'docker.io/b:v1']);
    opened.metadata.tags.put(tagKey('a', 'v1'), record('one', { isDenied: true }));
    await follow(opened);
    expect(await namesIn(temp.path)).toEqual(['docker.io/b:v1']);
  });

  it('follows a second behind, once for many changes', async () => {
    await using temp = await tempDirectory('index');
    await using opened = await openTestStore(temp.path);
    await opened.recovered;
    await follow(opened);
    const before = await stat(temp.file('index.json'));
    for (let i = 0; i < 100; i++) {
      opened.metadata.tags.put(tagKey('a', `v${i}`), record('one'));
      await opened.clock.advance(9);
    }
    expect((await stat(temp.file('index.json'))).ino).toBe(before.ino);
    await opened.clock.advance(1000);
    await eventually(
      async () => (await entriesOf(temp.path)).length === 100,
      () => 'it does not follow',
    );
    const after = await stat(temp.file('index.json'));
    // Mere confirmations change nothing.
    for (let i = 0; i < 100; i++) opened.metadata.tags.put(tagKey('a', `v${i}`), record('one', { checkedAtMs: 9999 }));
    await follow(opened);
    expect((await stat(temp.file('index.json'))).ino).toBe(after.ino);
    opened.metadata.forgetRepository(repositoryKey('a'));
    await follow(opened);
    expect(await entriesOf(temp.path)).toEqual([]);
  });

  it('is complete after an orderly stop, and brought up to date after any other', async () => {
    await using temp = await tempDirectory('index');
    const first = await openTestStore(temp.path);
    await first.recovered;
    await follow(first);
    first.metadata.tags.put(tagKey('a', 'v1'), record('one'));
    await first.close();
    expect(await namesIn(temp.path)).toEqual(['docker.io/a:v1']);
    await rm(temp.file('index.json'));
    await rm(temp.file('weir', 'clean'));
    await using second = await openTestStore(temp.path);
    await second.recovered;
    await follow(second);
    expect(await namesIn(temp.path)).toEqual(['docker.io/a:v1']);
  });

  it('that cannot be written is a warning, and the next change tries again', async () => {
    await using temp = await tempDirectory('index');
    await using opened = await openTestStore(temp.path);
    await opened.recovered;
    await follow(opened);
    await rm(temp.file('index.json'));
    await mkdir(temp.file('index.json'));
    opened.metadata.tags.put(tagKey('a', 'v1'), record('one'));
    await follow(opened);
    expect(new Set(opened.logger.complaints())).toEqual(new Set(['index.json cannot be written; it stays as it was']));
    await rm(temp.file('index.json'), { recursive: true });
    opened.metadata.tags.put(tagKey('a', 'v2'), record('one'));
    await follow(opened);
    expect(await namesIn(temp.path)).toEqual(['docker.io/a:v1', 'docker.io/a:v2']);
  });

  it('makes a root that jq and other readers of layouts can read as plain JSON', async () => {
    await using temp = await tempDirectory('index');
    const opened = await openTestStore(temp.path);
    opened.metadata.tags.put(tagKey('a', 'v1'), record('one'));
    await opened.close();
    const printed = execFileSync(process.execPath, [
      '-e',
      `const i = JSON.parse(require('fs').readFileSync('${temp.path}/index.json')); console.log(i.schemaVersion, i.manifests.length)`,
    ]).toString();
    expect(printed).toBe('2 1\n');
  });
});
