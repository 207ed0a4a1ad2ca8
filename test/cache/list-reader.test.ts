import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ListReader, longestReadHere } from '../../src/cache/list-reader.ts';
import { eventually } from '../support/gate.ts';

const index = 'application/vnd.oci.image.index.v1+json';
const encode = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));

const tags = Array.from({ length: 60_000 }, (_, at) => `${at}-`.padEnd(125, 'x'));
const tagList = encode({ name: 'team/app', tags });
const manifests = Array.from({ length: 30_000 }, (_, at) => ({
  mediaType: 'application/vnd.oci.image.manifest.v1+json',
  digest: `sha256:${String(at).padStart(64, '0')}`,
  size: 1234,
  artifactType: 'application/vnd.example',
  annotations: { 'org.opencontainers.image.created': '2026-01-01T00:00:00Z' },
}));
const referrerList = encode({ schemaVersion: 2, mediaType: index, manifests });

let reader: ListReader;
beforeEach(() => {
  reader = new ListReader();
});
afterEach(() => {
  reader.close();
});

/** Milliseconds of this thread's CPU in the longest step while `work` was under way. */
async function longestStep(work: () => Promise<unknown>): Promise<number> {
  let longest = 0;
  let isOver = false;
  const cpu = (): number => {
    const { user, system } = process.threadCpuUsage();
    return (user + system) / 1000;
  };
  let before = cpu();
  const done = work().finally(() => {
    isOver = true;
  });
  while (!isOver) {
    await new Promise((resolve) => setImmediate(resolve));
    const now = cpu();
    longest = Math.max(longest, now - before);
    before = now;
  }
  await done;
  return longest;
}

describe('a long list', () => {
  it('is read on a thread that ends afterwards, and is the same as one read here', async () => {
    expect(Math.min(tagList.byteLength, referrerList.byteLength)).toBeGreaterThan(7_600_000);
    const both = Promise.all([reader.tags(tagList), reader.referrers(referrerList, index)]);
    expect(reader.isBusy).toBe(true);
    const [read, referrers] = await both;
    expect(read).toEqual(tags);
    expect(referrers?.map(({ descriptor }) => descriptor)).toEqual(manifests);
    await eventually(() => !reader.isBusy);
  });

  it('takes no step of more than 100 ms here', async () => {
    expect(await longestStep(() => reader.tags(tagList))).toBeLessThan(100);
    expect(await longestStep(() => reader.referrers(referrerList, index))).toBeLessThan(100);
  });

  it('that is none is none', async () => {
    const long = 'x'.repeat(longestReadHere);
    expect(await reader.tags(encode({ tags: long }))).toBeUndefined();
    expect(await reader.referrers(encode({ manifests: [{ long }] }), index)).toBeUndefined();
  });

  it('of very many entries is none before it is parsed', async () => {
    const bomb = new TextEncoder().encode(`{"tags":[{${'"a":1,'.repeat(1_300_000)}"b":1}]}`);
    expect(await reader.tags(bomb)).toBeUndefined();
    const empty = new TextEncoder().encode(`{"mediaType":"${index}","manifests":[${'{},'.repeat(2_600_000)}{}]}`);
    expect(await reader.referrers(empty, index)).toBeUndefined();
  });

  it('is not waited for when the cache closes', async () => {
    const read = reader.tags(tagList);
    reader.close();
    expect(await read).toBeUndefined();
    expect(reader.isBusy).toBe(false);
  });
});

it('a short list costs no thread', async () => {
  const read = reader.tags(encode({ tags: ['1'] }));
  expect(reader.isBusy).toBe(false);
  expect(await read).toEqual(['1']);
});
