import { describe, expect, it } from 'vitest';
import type { Allotment } from '../../src/cache/allotment.ts';
import type { Generation } from '../../src/cache/generation.ts';
import { move } from '../../src/cache/move.ts';
import { PieceMap } from '../../src/cache/piece-map.ts';
import { Sources } from '../../src/cache/sources.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { Gate } from '../support/gate.ts';
import { BlobUpstream } from './support/blob-upstream.ts';
import { content, repository } from './support/engine.ts';

const mib = 1024 * 1024;

describe('a transfer whose claim was cut off in the middle of a chunk', () => {
  it('ends there, although the claim is extended again while the disk is slow', async () => {
    const bytes = content(8 * mib);
    const upstream = new BlobUpstream(bytes, { chunkBytes: 2 * mib });
    const pieces = new PieceMap([], bytes.length);
    const claim = pieces.claim(0, bytes.length);
    const file = Buffer.alloc(bytes.length);
    const slow = new Gate();
    const generation = {
      pieces,
      state: 'open',
      remote: undefined,
      spool: {
        allocatedBytes: () => 0,
        async write(buffers: readonly Uint8Array[], position: number) {
          await slow.pass();
          Buffer.concat(buffers).copy(file, position);
        },
      },
      written: () => undefined,
    } as unknown as Generation;
    upstream.script = () => ({
      beforeChunk: async (position) => {
        if (position !== 2 * mib) return;
        // Somebody else is to bring what follows; it turns out that he cannot.
        pieces.shrink(claim, 3 * mib);
        setImmediate(() => {
          pieces.extend(claim);
          slow.open();
        });
      },
    });
    const source = new Sources({
      upstream,
      digest: upstream.digest,
      clock: new FakeClock(),
      repository: repository('a/b'),
      onAccept: () => true,
    });
    const allotment = { cover: () => true } as unknown as Allotment;
    await move({ generation, source, allotment, claim }, new AbortController().signal);
    expect(claim.position).toBe(3 * mib);
    expect(file.subarray(0, claim.position).equals(bytes.subarray(0, claim.position))).toBe(true);
  });
});
