/**
 * soci-snapshotter, replayed from its sources (v0.16.1): `redirect` and `GetHeader` of fs/remote/resolver.go and
 * fs/remote/util.go, `fetch` for the spans of a zTOC, and `FetchRange` of fs/artifact_fetcher.go, which takes no answer
 * without `Accept-Ranges: bytes`.
 */
import { describe, expect, it } from 'vitest';
import { hold } from '../support/upstream/behaviour.ts';
import { expectPart, lazySite, mib } from './support/ranges.ts';

const size = 31 * mib + 5;
/** soci/ztoc: the default span is 4 MiB of the uncompressed layer; compressed, they have any size and lie end to end. */
const edges = [0, 3.1, 6.9, 7.2, 11.1, 15, 18.9, 22.4, 27.3].map((at) => Math.floor(at * mib));
const spans = edges.map((start, index) => `${start}-${(edges[index + 1] ?? size) - 1}`);

describe('soci-snapshotter', () => {
  it('finds ranges announced, and gets spans of a cold layer in any order, each right', async () => {
    await using site = await lazySite(size);
    const probe = await site.ask({ Range: 'bytes=0-1' });
    expectPart(site, '0-1', probe);
    const head = await site.ask({}, 'HEAD');
    expect([head.status, head.headers['content-length'], head.headers['accept-ranges']]).toEqual([
      200,
      String(size),
      'bytes',
    ]);
    const order = [8, 2, 5, 0, 7, 3, 1, 6, 4].map((index) => spans[index] ?? '');
    for (const how of ['cold', 'warm']) {
      const answers = await Promise.all(
        order.map((span) => site.ask({ Range: `bytes=${span}`, 'Accept-Encoding': 'identity' })),
      );
      for (const [index, answer] of answers.entries()) {
        expectPart(site, order[index] ?? '', answer);
        expect(answer.headers['accept-ranges']).toBe('bytes');
      }
      if (how === 'cold') await site.stored();
      await site.upstream.stop();
    }
    expect(site.upstreamBytes()).toBe(size);
  });

  it('gets the span that a starting container reads first while everything else is still to come', async () => {
    await using site = await lazySite(size);
    const { upstream } = site;
    const wanted = spans[6] ?? '';
    const rest = upstream.gate('all but the span');
    upstream.on({ method: 'GET', where: ({ headers }) => headers['range'] !== `bytes=${wanted}` }, hold(0, rest));
    const answer = await site.ask({ Range: `bytes=${wanted}`, 'Accept-Encoding': 'identity' });
    expectPart(site, wanted, answer);
    expect(answer.headers['cache-status']).toBe('weir; fwd=miss; stored; detail=unproved');
    rest.open();
    await site.stored();
    expect(site.upstreamBytes()).toBe(size);
  });

  it('pulls a whole layer in parallel chunks that are longer than what leaves before the proof', async () => {
    // fs/artifact_fetcher.go, `doInitialFetch` and then `FetchRange` for each chunk of a parallel pull.
    await using site = await lazySite(size);
    expect((await site.ask({ Range: 'bytes=0-1' })).headers['accept-ranges']).toBe('bytes');
    const chunks = [0, 1, 2, 3].map((n) => `${n * 8 * mib}-${Math.min((n + 1) * 8 * mib, size) - 1}`);
    const answers = await Promise.all(chunks.map((chunk) => site.ask({ Range: `bytes=${chunk}` })));
    for (const [index, answer] of answers.entries()) expectPart(site, chunks[index] ?? '', answer);
    expect(site.upstreamBytes()).toBe(size);
  });
});
