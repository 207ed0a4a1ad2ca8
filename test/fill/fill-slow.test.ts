/** A transfer may take as long as it takes: what ends one is silence or a drip, never its age. */
import { Readable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { UpstreamError } from '../../src/upstream/contract/errors.ts';
import { ResponseBody } from '../../src/upstream/exchange/response-body.ts';
import type { BlobBody, BlobRequest } from '../../src/upstream/contract/upstream.ts';
import { Party } from '../../src/lib/sharing/party.ts';
import type { StallLimits } from '../../src/upstream/contract/stall-watch.ts';
import type { FakeClock } from '../support/fake-clock.ts';
import { BlobUpstream } from './support/blob-upstream.ts';
import { Engine, content } from './support/engine.ts';

const [second, hour, day] = [1000, 3_600_000, 86_400_000];

/** An upstream whose bodies are guarded as those of a real one are, by limits that fit its pace. */
class GuardedUpstream extends BlobUpstream {
  clock: FakeClock | undefined;
  limits: StallLimits = { idleMs: 2 * hour, floorBytesPerSecond: 1, floorWindowMs: 6 * hour };

  override async openBlob(request: BlobRequest, signal: AbortSignal): Promise<BlobBody> {
    const { party = new Party('normal'), mayBeTaken } = request;
    const slot = request.slot ?? (await this.transfer({ party, mayBeTaken }, signal));
    const body = await super.openBlob({ ...request, slot }, signal);
    const { clock, limits } = this;
    if (clock === undefined) throw new Error('no clock yet');
    const guarded = new ResponseBody({
      source: Readable.from(body.chunks),
      declaredBytes: undefined,
      limits,
      patience: slot.patience(clock),
      clock,
      broken: (kind, reason, cause) => new UpstreamError(kind, reason, { upstream: this.key, cause }),
      suspicion: () => undefined,
      onBytes: () => undefined,
      onEnd: () => undefined,
    });
    const abort = (): void => {
      guarded.abort();
      body.abort();
    };
    return { ...body, chunks: guarded, abort };
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

  it.each([
    ['a pause of 75 s in each body', (position: number) => (position === 512 * 1024 ? 75 * second : 0)],
    ['8 KiB/s', () => 8 * second],
  ])('completes from an upstream without ranges: %s', async (_, pause) => {
    const blob = content(1024 * 1024);
    const upstream = new GuardedUpstream(blob);
    await using engine = new Engine([upstream]);
    const { clock } = engine;
    upstream.clock = clock;
    upstream.limits = { idleMs: 60 * second, floorBytesPerSecond: 16 * 1024, floorWindowMs: 60 * second };
    upstream.script = () => ({ ignoreRange: true, beforeChunk: (position) => clock.sleep(pause(position)) });
    let isOver = false;
    const client = engine.get(upstream).finally(() => (isOver = true));
    while (!isOver && clock.monotonic() < hour) await clock.advance(second);
    expect((await client).digest).toBe(upstream.digest);
    // Once to find out that it cannot be continued, and once with patience.
    const asked = upstream.asked.map(({ range }) => (range === 'whole' ? 'whole' : 'range'));
    expect(asked).toEqual(['whole', 'range', 'whole']);
    await engine.settled();
    expect(upstream.held.size).toBe(0);
  });
});
