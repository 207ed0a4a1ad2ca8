/**
 * nydusd, replayed from its sources (nydus v2.4.4, storage/src/backend/registry.rs): `blob_size` sends a HEAD and needs
 * Content-Length; `_try_read` asks for one closed range and copies whatever a good status brings to where it reads, without
 * a look at whether that is 206; `_stream_read` asks for everything from an offset. Its time-outs are 5 s by default
 * (api/src/config.rs, `default_http_timeout`).
 */
import { describe, expect, it } from 'vitest';
import { hold, range as rangeAnswer } from '../support/upstream/behaviour.ts';
import { bytesOf, expectPart, lazySite, mib } from './support/ranges.ts';

const size = 20 * mib + 4321;
/** What a connection within one machine takes ahead of its reader, at most (Linux: tcp_wmem and tcp_rmem). */
const connectionBytes = 10 * mib;

describe('nydusd', () => {
  it('learns the size of a cold blob from a HEAD that brings nothing', async () => {
    await using site = await lazySite(size);
    const head = await site.ask({}, 'HEAD');
    expect([head.status, head.headers['content-length']]).toEqual([200, String(size)]);
    expect(site.upstreamRanges()).toEqual([]);
    expect(site.upstream.count({ method: 'HEAD' })).toBe(1);
  });

  it.each([
    ['its first bytes', '0-4095'],
    ['all of it', `0-${size - 1}`],
    ['a chunk in the middle', `${10 * mib}-${11 * mib - 1}`],
    ['more than 4 MiB', `${mib}-${15 * mib}`],
    ['its last byte', `${size - 1}-${size - 1}`],
  ])('asking a cold blob for %s gets a 206, never a 200', async (_, range) => {
    await using site = await lazySite(size);
    expectPart(site, range, await site.ask({ Range: `bytes=${range}` }));
    await site.stored();
    await site.upstream.stop();
    expectPart(site, range, await site.ask({ Range: `bytes=${range}` }));
    expect(site.upstreamBytes()).toBe(size);
  });

  it('gets a 206 even where the upstream answers every range with all of the blob', async () => {
    await using site = await lazySite(size);
    site.upstream.always = rangeAnswer('ignore');
    const range = `${5 * mib}-${5 * mib + 999}`;
    expectPart(site, range, await site.ask({ Range: `bytes=${range}` }));
    await site.stored();
    expect(site.upstreamBytes()).toBe(size);
  });

  it('streams the rest from an offset, beside its chunks and a prefetch of everything', async () => {
    await using site = await lazySite(size);
    const chunks = [15, 3, 9, 0].map((at) => `${at * mib}-${at * mib + 262_143}`);
    const [rest, whole, ...answers] = await Promise.all([
      site.ask({ Range: `bytes=${8 * mib}-` }),
      site.ask({}),
      ...chunks.map((chunk) => site.ask({ Range: `bytes=${chunk}` })),
    ]);
    expectPart(site, `${8 * mib}-${size - 1}`, rest);
    expect([whole.status, whole.cleanEnd, whole.sha256]).toEqual([200, true, site.digest]);
    for (const [index, answer] of answers.entries()) expectPart(site, chunks[index] ?? '', answer);
    // If the prefetch came first, its transfer was left for the chunks, with what lay in the buffers of its connection.
    expect(site.upstreamBytes()).toBeLessThanOrEqual(size + connectionBytes);
  });

  it.each([1, 2])(
    'gets hundreds of small chunks of a cold blob in any order, none of which waits for the fill (%i threads)',
    async (threads) => {
      await using site = await lazySite(size, { serve: { threads } });
      const { upstream } = site;
      const fill = upstream.gate('the fill');
      // The fill itself goes from the start to the end; it gets no further than its first MiB, of which one byte is missing:
      // an answer that has all its bytes and does not end would hold up the next one on its connection.
      const isFill = (start: number): boolean => start < 2 * mib;
      const startOf = (range = ''): number => Number(/^bytes=([0-9]+)-/.exec(range)?.[1] ?? 0);
      upstream.on({ method: 'GET', where: ({ headers }) => isFill(startOf(headers['range'])) }, hold(mib - 1, fill));
      // Twice in each 64 KiB beyond that, in leaps: no order that anything could guess.
      const places = Array.from({ length: 512 }, (_, index) => 3 * mib + ((index * 37) % 256) * 65_536 + index * 7);
      let next = 0;
      const client = async (): Promise<void> => {
        using connection = await site.connect();
        for (let at = places[next++]; at !== undefined; at = places[next++]) {
          const length = 2 + (at % 5000);
          expectPart(
            site,
            `${at}-${at + length - 1}`,
            await connection.ask({ Range: `bytes=${at}-${at + length - 1}` }),
          );
        }
      };
      await Promise.all(Array.from({ length: 16 }, client));
      expect(fill.held).toBeGreaterThan(0);
      fill.open();
      await site.stored();
      expect(site.upstreamBytes()).toBe(size);
      const whole = await site.ask({});
      expect(whole.body.equals(bytesOf(site, `0-${size - 1}`))).toBe(true);
    },
  );
});
