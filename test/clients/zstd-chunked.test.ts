/**
 * Podman, CRI-O and Buildah pulling a zstd:chunked layer in parts, replayed from the sources of go.podman.io: storage v1.65.1
 * (pkg/chunked/compression_linux.go reads the manifest and the tar-split of a layer by two ranges in one header, or the
 * footer of an older one first; pkg/chunked/storage_linux.go, `retrieveMissingFiles`, then asks for what is missing by at
 * most `maxNumberMissingChunks` = 1,024 ranges, sorted) and image v5.42.1 (docker/docker_image_src.go: `GetBlobAt` writes the
 * header, its last range without an end if need be, and `handle206Response` takes the parts in order and counts them).
 */
import { describe, expect, it } from 'vitest';
import type { RawResponse } from '../support/raw-client.ts';
import { hold } from '../support/upstream/behaviour.ts';
import { bytesOf, expectPart, type LazySite, lazySite, mib, partsOf } from './support/ranges.ts';

const size = 40_000_000 + 1234;
const agent = { 'User-Agent': 'containers/5.42.1 (github.com/containers/image)' };
/** 1,024 ranges far from each other by more than the 1,024 bytes below which they are merged (`autoMergePartsThreshold`). */
const small = Array.from({ length: 1023 }, (_, index) => {
  const start = 10_000_000 + index * 20_011;
  return `${start}-${start + 1 + ((index * 7919) % 3500)}`;
});
const headerOf = (ranges: readonly string[]): string => `bytes=${ranges.join(',')}`;

/** What `handle206Response` does: a multipart answer with as many parts as there were ranges, each of the right bytes. */
function expectParts(site: LazySite, ranges: readonly string[], answer: RawResponse): void {
  expect([answer.status, answer.cleanEnd, answer.headers['content-length']]).toEqual([
    206,
    true,
    String(answer.body.length),
  ]);
  expect(answer.headers['content-range']).toBeUndefined();
  const wanted = ranges.map((range) => (range.endsWith('-') ? `${range}${size - 1}` : range));
  const parts = partsOf(answer);
  expect(parts.map(({ range }) => range)).toEqual(wanted);
  expect(parts.filter(({ range, bytes }) => !bytes.equals(bytesOf(site, range)))).toEqual([]);
}

describe.each([1, 2])('Podman with zstd:chunked, with %i threads that serve,', (threads) => {
  it('reads footer, manifest and 1,024 parts of a layer that nobody has, while it fills and when it is there', async () => {
    await using site = await lazySite(size, { serve: { threads } });
    using connection = await site.connect();
    const footer = `${size - 64}-${size - 1}`;
    const [manifest, tarSplit] = [`${size - 900_000}-${size - 500_001}`, `${size - 500_000}-${size - 65}`];
    const all = [...small, `${size - 1_000_000}-`];
    // More than node:http reads of a head by default.
    expect(headerOf(all).length).toBeGreaterThan(16 * 1024);
    expect(all).toHaveLength(1024);

    expectPart(site, footer, await connection.ask({ ...agent, Range: headerOf([footer]) }));
    expectParts(site, [manifest, tarSplit], await connection.ask({ ...agent, Range: headerOf([manifest, tarSplit]) }));
    const cold = await connection.ask({ ...agent, Range: headerOf(all) });
    expectParts(site, all, cold);
    expect(cold.headers['cache-status']).toMatch(/^weir; fwd=miss/);
    await site.stored();
    await site.upstream.stop();
    const warm = await connection.ask({ ...agent, Range: headerOf(all) });
    expectParts(site, all, warm);
    expect(warm.headers['cache-status']).toBe('weir; hit');
    expect(site.upstreamBytes()).toBe(size);
  });

  it('gets large parts between small ones, past the socket and through it', async () => {
    await using site = await lazySite(size, { serve: { threads } });
    // From 64 KiB on, sendfile; the parts around them, and all part heads, through buffers.
    const ranges = [
      '0-9',
      '1000000-1065534',
      '2000000-2065535',
      '3000000-3065536',
      '4000000-9000000',
      '9000002-9000002',
    ];
    const mixed = [...ranges, '20000000-29999999', `${size - 70_000}-`];
    for (const how of ['cold', 'warm']) {
      expectParts(site, mixed, await site.ask({ ...agent, Range: headerOf(mixed) }));
      if (how === 'cold') await site.stored();
    }
    expect(site.upstreamBytes()).toBe(size);
  });
});

describe('Podman with zstd:chunked', () => {
  it('gets parts in the order of the request, also where some of them are there long before others', async () => {
    await using site = await lazySite(size);
    const { upstream } = site;
    const rest = upstream.gate('everything but the footer');
    const footer = `${size - 64}-${size - 1}`;
    expectPart(site, footer, await site.ask({ ...agent, Range: headerOf([footer]) }));
    upstream.on({ kind: 'blob', method: 'GET' }, hold(0, rest));
    const ranges = [`${30 * mib}-${30 * mib + 999}`, footer, `${20 * mib}-${20 * mib + 999}`];
    const pending = site.ask({ ...agent, Range: headerOf(ranges) });
    await rest.arrived();
    rest.open();
    expectParts(site, ranges, await pending);
  });

  it('gets parts from all over a cold layer while the fill stands still, several of them asked for at once', async () => {
    // Too small for connections beside the fill's own, which are begun by the clock.
    const smallSize = 30_000_000;
    await using site = await lazySite(smallSize);
    const { upstream } = site;
    const fill = upstream.gate('the fill');
    const parts = upstream.gate('all other parts');
    const ranges = Array.from(
      { length: 40 },
      (_, index) => `${2_000_000 + index * 700_000}-${2_000_999 + index * 700_000}`,
    );
    const isFill = (range = ''): boolean => Number(/^bytes=([0-9]+)-/.exec(range)?.[1]) < 2_000_000;
    const isFirst = (range?: string): boolean => range === `bytes=${ranges[0]}`;
    upstream.on(
      { method: 'GET', where: ({ headers: { range } }) => !isFill(range) && !isFirst(range) },
      hold(0, parts),
    );
    upstream.on({ method: 'GET', where: ({ headers: { range } }) => isFill(range) }, hold(0, fill));
    const pending = site.ask({ ...agent, Range: headerOf(ranges) });
    await parts.arrived(6);
    expect(upstream.matching({ method: 'GET' }).filter(({ isComplete }) => isComplete)).toHaveLength(1);
    parts.open();
    expectParts(site, ranges, await pending);
    expect(fill.held).toBe(1);
    fill.open();
    await site.stored();
    expect(site.upstreamBytes()).toBe(smallSize);
  });
});
