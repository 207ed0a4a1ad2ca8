/** How long a client is kept waiting where its upstream's answers take long to begin. */
import { expect, it } from 'vitest';
import { ClockGate } from '../../cache/support/blame-rig.ts';
import { WeirUnderTest } from '../../conformance/support/weir.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { buildImage } from '../../support/image-builder.ts';
import { hold } from '../../support/upstream/behaviour.ts';

const name = 'org/slow';
const image = buildImage({ seed: 'slow', layers: [1000] });
const [, layer] = image.blobs;

it.each([`manifests/v1`, `manifests/${image.digest}`, `blobs/${layer?.digest ?? ''}`, 'tags/list'])(
  '%s: as long as `headTimeout` says',
  async (path) => {
    const clock = new FakeClock();
    await using weir = await WeirUnderTest.start({ clock, headTimeoutMs: 180_000 });
    weir.upstream.content.add(name, image, 'v1');
    weir.upstream.on({ repository: name }, hold('before', new ClockGate(clock, 170_000)));
    const startMs = clock.monotonic();
    let isAnswered = false;
    const answer = weir.ask(`${name}/${path}`).finally(() => (isAnswered = true));
    while (!isAnswered && clock.monotonic() - startMs < 200_000) {
      await clock.advance(1_000);
      // What is under way on sockets gets as far as it can.
      for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
    }
    expect((await answer).status).toBe(200);
    expect(clock.monotonic() - startMs).toBeGreaterThanOrEqual(170_000);
  },
);
