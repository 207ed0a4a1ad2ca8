/** How long a client is kept waiting where its upstream's answers take long to begin. */
import { expect, it } from 'vitest';
import { ClockGate } from '../../cache/support/blame-rig.ts';
import { WeirUnderTest } from '../../conformance/support/weir.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { eventually } from '../../support/gate.ts';
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
    const answer = weir.ask(`${name}/${path}`);
    await eventually(() => weir.upstream.requests.some(({ kind }) => kind !== 'ping'));
    while (clock.monotonic() - startMs < 170_000) await clock.advance(1_000);
    expect((await answer).status).toBe(200);
  },
);
