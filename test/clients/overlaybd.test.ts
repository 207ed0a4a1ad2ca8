/**
 * overlaybd, replayed from its sources (v1.0.18, src/overlaybd/registryfs/registryfs_v2.cpp): `get_scope_auth` asks for one
 * byte to see whether it is challenged, `get_actual_url` sends a plain GET and reads nothing of its body, `get_length` takes
 * the size from the Content-Range of one more byte, and `preadv` asks for one closed range after the other.
 */
import { describe, expect, it } from 'vitest';
import { eventually } from '../support/gate.ts';
import { rawFetch } from '../support/raw-client.ts';
import { expectPart, lazySite, mib } from './support/ranges.ts';

const size = 20 * mib + 1;

describe('overlaybd', () => {
  it('opens a cold layer with two one-byte questions and a GET that it drops, and reads blocks of it', async () => {
    await using site = await lazySite(size);
    const challenge = await site.ask({ Range: 'bytes=0-0' });
    expectPart(site, '0-0', challenge);
    const dropped = await rawFetch(site.origin + site.path, { leave: { at: 1, how: 'fin' } });
    expect(dropped.status).toBe(200);
    const length = await site.ask({ Range: 'bytes=0-0' });
    expect(length.headers['content-range']).toBe(`bytes 0-0/${size}`);
    // The header and the trailer of the image, then the blocks that are touched.
    const blocks = [
      '0-511',
      `${size - 512}-${size - 1}`,
      `${12 * mib}-${12 * mib + 65_535}`,
      `${4 * mib}-${4 * mib + 4095}`,
    ];
    using connection = await site.connect();
    for (const block of blocks) expectPart(site, block, await connection.ask({ Range: `bytes=${block}` }));
    await site.stored();
    await site.upstream.stop();
    for (const block of blocks) expectPart(site, block, await connection.ask({ Range: `bytes=${block}` }));
    // The GET that it dropped ended nothing, and is no error.
    await eventually(() => site.lines.filter(({ msg }) => msg === 'request').length >= 11);
    expect(site.lines.filter(({ level }) => level === 'error' || level === 'warn')).toEqual([]);
    expect(site.upstreamBytes()).toBe(size);
  });
});
