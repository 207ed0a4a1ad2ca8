import { describe, expect, it } from 'vitest';
import { PieceMap } from '../../../src/fill/attempt/pieces.ts';
import type { Attempt } from '../../../src/fill/attempt/attempt.ts';
import type { Reservation } from '../../../src/fill/space/reservation.ts';
import { LocalWriter } from '../../../src/fill/download/local-writer.ts';

/** A writer over nothing but a piece map; what it writes is kept. */
function rig(sizeBytes: number) {
  const pieces = new PieceMap([], sizeBytes);
  const written: number[] = [];
  const attempt = {
    pieces,
    state: 'open',
    ingest: {
      allocatedBytes: () => 0,
      write: async (buffers: readonly Uint8Array[], position: number) => {
        for (const { byteLength } of buffers) written.push(position, byteLength);
      },
    },
    written: () => undefined,
  } as unknown as Attempt;
  const reservation = { cover: () => true } as unknown as Reservation;
  const claim = pieces.claim(0, sizeBytes);
  return { pieces, claim, written, writer: new LocalWriter(attempt, claim, reservation) };
}

describe('LocalWriter', () => {
  it('comes to rest when its claim was cut off at what it has taken, and more arrives', async () => {
    const { pieces, claim, written, writer } = rig(1000);
    await writer.push(new Uint8Array(100));
    await writer.flush();
    // Somebody wants what follows: the claim ends here, while the next chunk is on its way already.
    pieces.shrink(claim, 100);
    await writer.push(new Uint8Array(100));
    await writer.flush();
    expect(written).toEqual([0, 100]);
  });
});
