/** One address asks for all that it can, of every kind at once; another one pulls meanwhile. */
import { describe, expect, it } from 'vitest';
import { randomSource, digestOfSource } from '../support/byte-source.ts';
import { buildImage } from '../support/image-builder.ts';
import { RateLimit } from '../support/upstream/rate-limit.ts';
import { download } from './support/blob-client.ts';
import { Idlers } from './support/idlers.ts';
import { mib, Stage } from './support/stage.ts';

const attacker = '127.0.0.1';
const victim = '127.0.0.2';
/** Several times what one upstream may be asked for at once. */
const coldBlobs = 300;
const coldNames = 300;
const slowReaders = 100;
const hitLoops = 16;
/** Above what counts as standing still, so that none of them ends by itself. */
const trickle = 40_000;
const pulls = 10;
/** As long as clients wait for a head. */
const patienceMs = 30_000;

describe.each([
  ['threads of their own', {}],
  ['the main thread', { serve: { threads: 1 } }],
])('a flood of misses, hits and slow readers from one address, served by %s', (_who, config) => {
  it('keeps no pull of another address from its end, and no hit waiting', { timeout: 240_000 }, async () => {
    await using stage = await Stage.set(config);
    const { weir, upstream } = stage;
    upstream.on({ repository: 'flood/slow' }, { rate: () => new RateLimit(trickle) });
    // Content is not looked at: none of these transfers comes to its end.
    const shared = randomSource(8 * mib, 'flood');
    const digests = Array.from({ length: coldBlobs }, (_, index) => digestOfSource(randomSource(8, `flood ${index}`)));
    for (const digest of digests) upstream.content.addBlob('flood/slow', shared, digest);
    const warm = stage.addBlob(64 * mib);
    const image = buildImage({ seed: 'warm', layers: [1000] });
    upstream.content.add('team/app', image, 'warm');
    const hits = [warm.path, `/v2/team/app/manifests/${image.digest}`];
    for (const path of hits) expect(await download(weir.port, path)).toMatchObject({ status: 200, isComplete: true });

    using idlers = new Idlers(weir.port);
    await idlers.ask(
      Array.from({ length: slowReaders }, () => warm.path),
      attacker,
    );
    idlers.begin(
      digests.map((digest) => `/v2/flood/slow/blobs/${digest}`),
      attacker,
    );
    idlers.begin(
      Array.from({ length: coldNames }, (_, index) => `/v2/flood/none-${index}/manifests/latest`),
      attacker,
    );
    let isOver = false;
    let answered = 0;
    const floods = Array.from({ length: hitLoops }, async () => {
      while (!isOver) {
        await download(weir.port, hits[1] ?? '', { localAddress: attacker }).then(
          () => void answered++,
          () => undefined,
        );
      }
    });

    const failed: string[] = [];
    let slowestMs = 0;
    const get = async (path: string, headers: Readonly<Record<string, string>> = {}): Promise<void> => {
      const got = await download(weir.port, path, { localAddress: victim, headers, timeoutMs: patienceMs });
      if (!got.isComplete || ![200, 206].includes(got.status)) failed.push(`${got.status} ${got.bytes} of ${path}`);
      slowestMs = Math.max(slowestMs, got.totalMs);
    };
    for (let pull = 0; pull < pulls; pull++) {
      const cold = buildImage({ seed: `cold ${pull}`, layers: [300_000, 2_000_000] });
      upstream.content.add('team/cold', cold, `v${pull}`);
      await get(`/v2/team/cold/manifests/v${pull}`);
      await get(`/v2/team/cold/manifests/${cold.digest}`);
      await Promise.all(cold.blobs.map(({ digest }) => get(`/v2/team/cold/blobs/${digest}`)));
      for (const path of hits) await get(path, { Range: 'bytes=0-999' });
    }
    isOver = true;
    await Promise.all(floods);
    console.log(
      `flood: slowest of the other address ${slowestMs.toFixed(0)} ms, ${answered} hits of the flood beside it`,
    );
    expect(failed).toEqual([]);
    expect(answered).toBeGreaterThan(pulls);
    // The flood is still there: what the other address got, it got beside it.
    expect(await weir.metric('weir_fills_running')).toBeGreaterThanOrEqual(56);
  });
});
