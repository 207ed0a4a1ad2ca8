/**
 * stargz-snapshotter, replayed from its sources (v0.19.1, fs/remote/resolver.go): `redirect` asks for the first two bytes
 * to find out where the layer is, `getSize` sends a HEAD, `fetch` asks for many regions in one header with
 * `Accept-Encoding: identity`, and `check` repeats the first question for as long as the layer is mounted.
 */
import { describe, expect, it } from 'vitest';
import { hold } from '../support/upstream/behaviour.ts';
import { bytesOf, expectPart, lazySite, mib, partsOf } from './support/ranges.ts';

/** Its User-Agent is Go's own. */
const agent = { 'User-Agent': 'Go-http-client/1.1' };
const size = 24 * mib + 77;

describe.each([1, 2])('stargz-snapshotter, with %i threads that serve,', (threads) => {
  it('mounts a layer that nobody has: its probe, its HEAD, its footer and its files do not wait for the rest', async () => {
    await using site = await lazySite(size, { serve: { threads } });
    const { upstream } = site;
    const rest = upstream.gate('everything but what is asked for');
    // What continues the first two bytes is the fill's own.
    upstream.on(
      { method: 'GET', where: ({ headers }) => headers['range']?.startsWith('bytes=2-') === true },
      hold(0, rest),
    );

    // `redirect`: any 2xx means "here"; the body is read to its end.
    const probe = await site.ask({ ...agent, Range: 'bytes=0-1' }, 'GET', '?ns=lab');
    expectPart(site, '0-1', probe);
    expect(probe.headers['cache-status']).toBe('weir; fwd=miss; stored; detail=unproved');
    expect(probe.headers['location']).toBeUndefined();
    expect(site.upstreamRanges()[0]).toBe('bytes=0-1');

    // `getSize`
    const head = await site.ask(agent, 'HEAD', '?ns=lab');
    expect([head.status, head.headers['content-length']]).toEqual([200, String(size)]);
    expect(upstream.count({ method: 'HEAD' })).toBe(0);

    // `fetch`, for the footer and the table of contents, and then for files in several places at once.
    const footer = await site.ask({ ...agent, Range: `bytes=${size - 51}-${size - 1}`, 'Accept-Encoding': 'identity' });
    expectPart(site, `${size - 51}-${size - 1}`, footer);
    const regions = [`${3 * mib}-${3 * mib + 65_535}`, `${9 * mib + 1}-${9 * mib + 50_000}`, `${20 * mib}-${20 * mib}`];
    const files = await site.ask({ ...agent, Range: `bytes=${regions.join(',')}`, 'Accept-Encoding': 'identity' });
    expect([files.status, files.headers['content-encoding'], files.cleanEnd]).toEqual([206, undefined, true]);
    expect(partsOf(files).map(({ range }) => range)).toEqual(regions);
    for (const { range, bytes } of partsOf(files)) expect(bytes.equals(bytesOf(site, range))).toBe(true);
    expect(rest.held).toBeGreaterThan(0);

    // `check`, while the fill runs and when it is over.
    expectPart(site, '0-1', await site.ask({ ...agent, Range: 'bytes=0-1' }));
    rest.open();
    await site.stored();
    await upstream.stop();
    const check = await site.ask({ ...agent, Range: 'bytes=0-1' });
    expectPart(site, '0-1', check);
    expect(check.headers['cache-status']).toBe('weir; hit');
    expect(site.upstreamBytes()).toBe(size);
    // Two probes, a footer and three files left before the proof.
    expect(await site.metric('weir_unproved_range_bytes_total')).toBe(2 + 2 + 51 + 65_536 + 50_000 + 1);
  });
});

describe('stargz-snapshotter', () => {
  it('in its single-range mode asks for one span over all that it wants, and gets that', async () => {
    // `superRegion`, after a 400 from elsewhere; here it is longer than what leaves before the proof.
    await using site = await lazySite(size);
    const region = `${2 * mib}-${20 * mib}`;
    expectPart(site, region, await site.ask({ ...agent, Range: `bytes=${region}`, 'Accept-Encoding': 'identity' }));
    expect(site.upstreamBytes()).toBe(size);
  });
});
