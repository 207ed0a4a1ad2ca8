/**
 * containerd 2 fetching a layer in parallel, replayed from its sources (v2.4.2, core/remotes/docker/fetcher.go, `open`, with
 * `concurrent_layer_fetch_buffer` set): the first GET asks for `bytes=0-`, each further one for `bytes=N-` with N a multiple
 * of the buffer's size, `max_concurrent_downloads` at once, and each is closed by the client after one buffer.
 */
import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { eventually } from '../support/gate.ts';
import { rawFetch } from '../support/raw-client.ts';
import { rate } from '../support/upstream/behaviour.ts';
import { type LazySite, lazySite, mib } from './support/ranges.ts';

const size = 22 * mib + 12_345;
const chunkBytes = 2 * mib;

/** One layer as containerd fetches it, `parallelism` chunks at a time, each cut off where the next one begins. */
async function fetchInParallel(site: LazySite, parallelism: number): Promise<string> {
  const chunks = Math.ceil(size / chunkBytes);
  const bodies: Buffer[] = [];
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let index = next++; index < chunks; index = next++) {
      const start = index * chunkBytes;
      const length = Math.min(chunkBytes, size - start);
      const answer = await rawFetch(`${site.origin}${site.path}?ns=lab`, {
        headers: {
          'User-Agent': 'containerd/2.4.2',
          Accept: 'application/vnd.oci.image.layer.v1.tar+gzip, */*',
          'Accept-Encoding': 'zstd;q=1.0, gzip;q=0.8, deflate;q=0.5',
          Range: `bytes=${start}-`,
        },
        ...(start + length < size ? { leave: { at: length, how: 'fin' as const } } : {}),
      });
      expect([answer.status, answer.headers['content-range'], answer.headers['content-encoding']]).toEqual([
        206,
        `bytes ${start}-${size - 1}/${size}`,
        undefined,
      ]);
      expect(answer.bytes).toBe(length);
      bodies[index] = answer.body;
    }
  };
  await Promise.all(Array.from({ length: parallelism }, worker));
  const hash = createHash('sha256');
  for (const body of bodies) hash.update(body);
  return `sha256:${hash.digest('hex')}`;
}

describe.each([
  ['finish', 1],
  ['finish', 2],
  ['keep', 2],
] as const)('containerd 2 with parallel ranges that it leaves, onAbandon: %s, %i threads', (onAbandon, threads) => {
  it('gets a cold layer for 1.00x the bytes: nothing is cancelled, no tail transferred, nothing logged as an error', async () => {
    await using site = await lazySite(size, { serve: { threads }, fill: { onAbandon } });
    site.upstream.always = rate(100 * mib);
    expect(await fetchInParallel(site, 3)).toBe(site.digest);
    await site.stored();
    expect(site.upstreamBytes()).toBe(size);
    // One after the other, with nobody asking for more than a piece at a time, and never for everything from somewhere.
    for (const range of site.upstreamRanges()) {
      const [, start = NaN, last = NaN] = (/^bytes=([0-9]+)-([0-9]+)$/.exec(range) ?? []).map(Number);
      expect(last - start).toBeLessThan(8 * mib);
    }
    await site.upstream.stop();
    expect(await fetchInParallel(site, 3)).toBe(site.digest);
    await eventually(() => site.lines.filter(({ msg }) => msg === 'request').length >= 16);
    expect(site.lines.filter(({ level }) => level === 'error' || level === 'warn')).toEqual([]);
    expect(await site.metric('weir_fills_total')).toBe(1);
    expect(site.upstreamBytes()).toBe(size);
  });
});

describe('containerd 2 with parallel ranges', () => {
  it('ten nodes at once cost the upstream one layer', async () => {
    await using site = await lazySite(size);
    site.upstream.always = rate(100 * mib);
    const digests = await Promise.all(Array.from({ length: 10 }, () => fetchInParallel(site, 3)));
    expect(new Set(digests)).toEqual(new Set([site.digest]));
    expect(site.upstreamBytes()).toBe(size);
  });
});
