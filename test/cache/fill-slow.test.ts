/** A transfer may take as long as it takes: what ends one is silence or a drip, never its age. */
import { Readable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { UpstreamError } from '../../src/upstream/errors.ts';
import { ResponseBody } from '../../src/upstream/response-body.ts';
import type { BlobBody, BlobRequest } from '../../src/upstream/upstream.ts';
import type { FakeClock } from '../support/fake-clock.ts';
import { BlobUpstream } from './support/blob-upstream.ts';
import { Engine, content } from './support/engine.ts';

const [second, hour, day] = [1000, 3_600_000, 86_400_000];

/** An upstream whose bodies are guarded as those of a real one are, by limits that fit its pace. */
class GuardedUpstream extends BlobUpstream {
  clock: FakeClock | undefined;

  override async openBlob(request: BlobRequest, signal: AbortSignal): Promise<BlobBody> {
    const body = await super.openBlob(request, signal);
    const { clock } = this;
    if (clock === undefined) throw new Error('no clock yet');
    const guarded = new ResponseBody({
      source: Readable.from(body.chunks),
      declaredBytes: undefined,
      limits: { idleMs: 2 * hour, floorBytesPerSecond: 1, floorWindowMs: 6 * hour },
      clock,
      broken: (kind, reason, cause) => new UpstreamError(kind, reason, { upstream: this.key, cause }),
      suspicion: () => undefined,
      onBytes: () => undefined,
      onEnd: () => undefined,
    });
    return { ...body, chunks: guarded, abort: () => guarded.abort() };
  }
}

describe('a transfer without haste', () => {
  it('is not ended by any deadline: thirty days, a chunk an hour, and a client that waits all the time', async () => {
    const chunks = 30 * 24;
    const chunkBytes = 8 * 1024;
    const blob = content(chunks * chunkBytes);
    const upstream = new GuardedUpstream(blob, { chunkBytes });
    await using engine = new Engine([upstream]);
    const { clock } = engine;
    upstream.clock = clock;
    upstream.script = () => ({ beforeChunk: () => clock.sleep(hour) });
    const began = clock.monotonic();
    let isOver = false;
    const client = engine.get(upstream).finally(() => (isOver = true));
    while (!isOver) await clock.advance(10 * second * 6);
    expect((await client).digest).toBe(upstream.digest);
    expect(clock.monotonic() - began).toBeGreaterThanOrEqual(30 * day);
    await engine.settled();
    // One request, or few: nothing was given up and begun again.
    expect(upstream.sentBytes).toBe(blob.byteLength);
    expect(engine.counts.resumed).toBe(0);
  });
});
