/**
 * Dragonfly's dfdaemon going back to the source, replayed from its sources (client v1.5.1,
 * dragonfly-client-backend/src/http.rs): `stat` asks for one byte by GET and takes the size from Content-Range, `get` asks
 * for each piece by one closed range; pieces are 4 MiB and more, and several peers fetch different ones.
 */
import { describe, expect, it } from 'vitest';
import { expectPart, lazySite, mib } from './support/ranges.ts';

const size = 30 * mib + 123;
const pieceBytes = 4 * mib;
const pieces = Array.from({ length: Math.ceil(size / pieceBytes) }, (_, index) => {
  const start = index * pieceBytes;
  return `${start}-${Math.min(start + pieceBytes, size) - 1}`;
});

describe('a Dragonfly peer', () => {
  it('learns the size of a cold blob from one byte, and each piece comes once from the upstream for all peers', async () => {
    await using site = await lazySite(size);
    const stat = await site.ask({ Range: 'bytes=0-0', 'User-Agent': 'dragonfly/1.5.1' });
    expectPart(site, '0-0', stat);
    const peers = [pieces, pieces.toReversed(), [...pieces.slice(4), ...pieces.slice(0, 4)]];
    for (const how of ['cold', 'warm']) {
      await Promise.all(
        peers.map(async (order) => {
          using connection = await site.connect();
          for (const piece of order) expectPart(site, piece, await connection.ask({ Range: `bytes=${piece}` }));
        }),
      );
      if (how === 'cold') await site.stored();
      await site.upstream.stop();
    }
    expect(site.upstreamBytes()).toBe(size);
  });
});
