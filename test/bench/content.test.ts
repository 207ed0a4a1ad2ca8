import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  blobOf,
  blobPath,
  Content,
  hashOfSpan,
  manifestDigestPath,
  manifestPath,
} from '../../bench/support/content.ts';
import { cpuSeconds, residentBytes } from '../../bench/support/proc.ts';
import { type TempDirectory, tempDirectory } from '../support/temp.ts';

const sizes = [3_000_001, 10];

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

describe('what the upstream holds', () => {
  let temp: TempDirectory;
  let content: Content;
  beforeAll(async () => {
    temp = await tempDirectory('bench');
    content = new Content(temp.file('content'));
  });
  afterAll(() => temp[Symbol.asyncDispose]());

  it('has the digests and sizes that manifests name, under both names', () => {
    const image = content.image('one', sizes);
    const manifest = readFileSync(`${content.root}${manifestPath(image)}`);
    expect(`sha256:${sha256(manifest)}`).toBe(image.manifestDigest);
    expect(readFileSync(`${content.root}${manifestDigestPath(image)}`)).toEqual(manifest);
    expect(content.tagDigests.get(manifestPath(image))).toBe(image.manifestDigest);
    const named = JSON.parse(manifest.toString()) as { readonly layers: readonly { digest: string; size: number }[] };
    expect(named.layers.map(({ size }) => size)).toEqual(sizes);
    for (const index of sizes.keys()) {
      const bytes = readFileSync(`${content.root}${blobPath(image, index)}`);
      expect(`sha256:${sha256(bytes)}`).toBe(blobOf(image, index).digest);
    }
  });

  it('can be asked for without the namespace, by caches that take it for their own', () => {
    const image = content.image('one', sizes);
    const path = blobPath(image).replace('/bench/', '/');
    expect(readFileSync(`${content.root}${path}`)).toHaveLength(3_000_001);
  });

  it('knows the hash of any span of a layer', () => {
    const bytes = readFileSync(`${content.root}${blobPath(content.image('one', sizes))}`);
    for (const [offset, length] of [
      [0, 5],
      [1_048_570, 20],
      [1_999_999, 1_000_002],
    ] as const) {
      expect(hashOfSpan('one#0', 3_000_001, offset, length)).toBe(sha256(bytes.subarray(offset, offset + length)));
    }
  });

  it('is made once for each name', () => {
    expect(content.image('one', sizes)).toBe(content.image('one', sizes));
  });
});

describe('what the kernel says of a process', () => {
  it('is time that grows while it works, and memory that it has', () => {
    const before = cpuSeconds(process.pid);
    const end = performance.now() + 10_000;
    while (cpuSeconds(process.pid) - before < 0.05 && performance.now() < end) sha256(Buffer.alloc(1_000_000));
    expect(cpuSeconds(process.pid) - before).toBeGreaterThanOrEqual(0.05);
    expect(residentBytes(process.pid)).toBeGreaterThan(10_000_000);
  });

  it('is nothing for one that does not exist', () => {
    expect(cpuSeconds(2 ** 22 + 1)).toBe(0);
    expect(residentBytes(2 ** 22 + 1)).toBe(0);
  });
});
