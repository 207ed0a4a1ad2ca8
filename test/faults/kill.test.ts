import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { eventually } from '../support/gate.ts';
import { RateLimit } from '../support/upstream/rate-limit.ts';
import { shared } from '../support/upstream/behaviour.ts';
import { download } from './support/blob-client.ts';
import { Stage, mb } from './support/stage.ts';

const fills = 50;
const size = 8 * mb;

/** What this machine's own hash says of a visible blob: no code of the daemon is involved. */
function rehash(root: string, digest: string): string {
  const bytes = readFileSync(join(root, 'blobs', 'sha256', digest.slice('sha256:'.length)));
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

describe('kill -9 during 50 concurrent fills', () => {
  it('leaves only right blobs visible, and the fills go on where they were made durable', async () => {
    await using stage = await Stage.set();
    const { upstream, weir } = stage;
    const blobs = Array.from({ length: fills }, (_, index) => stage.addBlob(size, `fill ${index}`));
    // Slow enough that partials have been made durable when the kill comes, fast enough that some blobs are complete.
    upstream.always = shared(new RateLimit(40 * mb));
    for (let round = 0; round < 3; round++) {
      const running = blobs.map(({ path }) => download(weir.port, path).catch(() => undefined));
      await new Promise((resolve) => setTimeout(resolve, 2500 + Math.random() * 1500));
      await weir.kill();
      await Promise.all(running);
      for (const digest of weir.blobs()) expect(rehash(weir.root, digest)).toBe(digest);
      await weir.start();
    }
    const partials = weir.ingests().length;
    console.log(`kill: ${weir.blobs().length} blobs and ${partials} partials after three kills`);
    expect(weir.blobs().length + partials).toBeGreaterThan(0);

    upstream.always = {};
    upstream.forgetRequests();
    const all = await Promise.all(blobs.map(({ path }) => download(weir.port, path, { hashes: true })));
    for (const [index, got] of all.entries()) {
      expect(got.status).toBe(200);
      expect(got.isComplete).toBe(true);
      expect(got.digest).toBe(blobs[index]?.digest);
    }
    // What had been made durable was not asked for again.
    const continued = upstream.matching({ kind: 'blob', method: 'GET' }).filter(({ span }) => (span?.start ?? 0) > 0);
    if (partials > 0) expect(continued.length).toBeGreaterThan(0);
    expect(upstream.bytesSent({ kind: 'blob' })).toBeLessThan(fills * size);
    await eventually(() => weir.blobs().length === fills);
    for (const digest of weir.blobs()) expect(rehash(weir.root, digest)).toBe(digest);
    await eventually(() => weir.ingests().length === 0);
    expect(await weir.stop()).toBe(0);
  });
});
