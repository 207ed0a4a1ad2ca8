import { describe, expect, it } from 'vitest';
import type { Reservation } from '../../../src/fill/space/reservation.ts';
import type { Attempt } from '../../../src/fill/attempt/attempt.ts';
import { move } from '../../../src/fill/download/download.ts';
import { PieceMap } from '../../../src/fill/attempt/pieces.ts';
import { Sources } from '../../../src/fill/download/sources.ts';
import { Party } from '../../../src/lib/sharing/party.ts';
import type { Digest } from '../../../src/oci/digest.ts';
import { StoreError } from '../../../src/store/contract/blob-store.ts';
import type { WorkerBody } from '../../../src/upstream/contract/worker-protocol.ts';
import type { Upstream } from '../../../src/upstream/contract/upstream.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { Gate } from '../../support/gate.ts';
import { BlobUpstream } from '../support/blob-upstream.ts';
import { content, repository } from '../support/engine.ts';

const mib = 1024 * 1024;
const reservation = { cover: () => true } as unknown as Reservation;

/** An attempt that is written to by `write`, and by no thread. */
function generationOf(
  pieces: PieceMap,
  write: (buffers: readonly Uint8Array[], position: number) => Promise<void>,
): Attempt {
  const ingest = { allocatedBytes: () => 0, write };
  return { pieces, state: 'open', remote: undefined, ingest, written: () => undefined } as unknown as Attempt;
}

function sourceOf(upstream: Upstream, digest: Digest): Sources {
  return new Sources({
    upstream,
    digest,
    clock: new FakeClock(),
    repository: repository('a/b'),
    party: new Party('normal'),
    onAccept: () => true,
  });
}

describe('a transfer whose claim was cut off in the middle of a chunk', () => {
  it('ends there, although the claim is extended again while the disk is slow', async () => {
    const bytes = content(8 * mib);
    const upstream = new BlobUpstream(bytes, { chunkBytes: 2 * mib });
    const pieces = new PieceMap([], bytes.length);
    const claim = pieces.claim(0, bytes.length);
    const file = Buffer.alloc(bytes.length);
    const slow = new Gate();
    const attempt = generationOf(pieces, async (buffers, position) => {
      await slow.pass();
      Buffer.concat(buffers).copy(file, position);
    });
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
    const source = sourceOf(upstream, upstream.digest);
    await move({ attempt, source, reservation, claim }, new AbortController().signal);
    expect(claim.position).toBe(3 * mib);
    expect(file.subarray(0, claim.position).equals(bytes.subarray(0, claim.position))).toBe(true);
  });
});

describe('a transfer whose writes have failed', () => {
  it('gives back the body that it was to continue with on a thread', async () => {
    const upstream = new BlobUpstream(content(mib));
    const pieces = new PieceMap([], mib);
    const claim = pieces.claim(0, mib);
    const slow = new Gate();
    const ended: string[] = [];
    const attempt = generationOf(pieces, async () => {
      await slow.pass();
      throw new StoreError('sick', 'the disk is broken');
    });
    upstream.script = (_, index) => (index === 0 ? { cutAfter: 64 * 1024 } : {});
    const onThread = {
      toWorker: () => {
        slow.open();
        return { abort: () => ended.push('aborted'), ended: () => ended.push('ended') } as unknown as WorkerBody;
      },
    };
    const handingOver = new Proxy(upstream, {
      get: (target, name) =>
        name === 'openBlob'
          ? async (...asked: Parameters<BlobUpstream['openBlob']>) => {
              const body = await target.openBlob(...asked);
              return target.asked.length === 1 ? body : { ...body, ...onThread };
            }
          : (Reflect.get(target, name, target) as unknown),
    });
    const source = sourceOf(handingOver, upstream.digest);
    const moved = move({ attempt, source, reservation, claim }, new AbortController().signal);
    expect(await moved.catch((error: unknown) => error)).toBeInstanceOf(StoreError);
    expect(ended).toEqual(['aborted', 'ended']);
  });
});
