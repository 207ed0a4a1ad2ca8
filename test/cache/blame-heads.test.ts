/** A head that takes 25 s: longer than some clients wait, and no reason to ask twice. */
import { describe, expect, it } from 'vitest';
import { buildArtifact, buildImage } from '../support/image-builder.ts';
import { hold } from '../support/upstream/behaviour.ts';
import { type Asked, BlameRig, ClockGate } from './support/blame-rig.ts';

const image = buildImage({ seed: 'late', layers: [200_000] });
const [, layer] = image.blobs;
const things: readonly (readonly [string, Asked])[] = [
  ['a tag', { what: 'manifest', name: 'org/app:v1' }],
  ['a manifest by digest', { what: 'manifest', name: `org/app@${image.digest}` }],
  ['the HEAD of a tag', { what: 'head', name: 'org/app:v1' }],
  ['a blob', { what: 'blob', name: `org/app@${layer?.digest ?? ''}` }],
  ['a small blob', { what: 'blob', name: `org/app@${image.blobs[0]?.digest ?? ''}` }],
  ['referrers', { what: 'referrers', name: `org/app@${image.digest}` }],
  ['a list of tags', { what: 'tags', name: 'org/app' }],
];

async function late(ms: number, headTimeoutMs = 60_000): Promise<BlameRig> {
  const rig = await BlameRig.start({ upstream: { headTimeoutMs } });
  rig.registry.content.add('org/app', image, 'v1');
  rig.registry.content.add('org/app', buildArtifact({ seed: 'late', subject: image }));
  rig.registry.always = hold('before', new ClockGate(rig.clock, ms));
  return rig;
}

describe.each(things)('%s whose head takes 25 s', (_, asked) => {
  it('is served to the client that waits, for one question', async () => {
    await using rig = await late(25_000);
    const { status, seconds } = await rig.until(rig.ask(asked));
    expect([status, Math.round(seconds)]).toEqual([200, 25]);
    expect(rig.registry.requests).toHaveLength(1);
  });

  it('is served to the next one if the first left, for the same question', async () => {
    await using rig = await late(25_000);
    const left = await rig.until(rig.ask({ ...asked, patienceMs: 10_000 }));
    expect(left.status).toBe('left');
    const joins = await rig.until(rig.ask({ ...asked, client: '10.0.0.2' }));
    expect([joins.status, Math.round(joins.atMs / 1000)]).toEqual([200, 25]);
    expect(rig.registry.requests).toHaveLength(1);
  });

  it('is there for the next one after everybody has left', async () => {
    await using rig = await late(25_000);
    await rig.until(rig.ask({ ...asked, patienceMs: 10_000 }));
    // Lists are fresh for 30 s from when they were asked for.
    await rig.pass(17_000);
    const next = await rig.until(rig.ask({ ...asked, client: '10.0.0.2' }));
    expect([next.status, next.seconds]).toEqual([200, 0]);
    expect(rig.registry.requests).toHaveLength(1);
  });
});

describe.each(things)('%s whose head takes 170 s', (_, asked) => {
  it('is served to the client that waits where `headTimeout` is longer', async () => {
    await using rig = await late(170_000, 180_000);
    const { status, seconds } = await rig.until(rig.ask(asked), 200_000);
    expect([status, Math.round(seconds)]).toEqual([200, 170]);
  });
});

describe.each(things)('%s whose head never comes', (_, asked) => {
  it('is a time-out after the 60 s of its question, and others are served meanwhile', async () => {
    await using rig = await late(25_000);
    rig.registry.always = {};
    const other = buildImage({ seed: 'other' });
    rig.registry.content.add('org/other', other, 'v1');
    rig.registry.on({ repository: 'org/app' }, hold('before', new ClockGate(rig.clock, 3_600_000)));
    const waiting = rig.ask(asked);
    await rig.pass(20_000);
    expect((await rig.until(rig.ask({ what: 'manifest', name: 'org/other:v1' }))).status).toBe(200);
    const { status, seconds } = await rig.until(waiting);
    expect([status, Math.round(seconds)]).toEqual(['timeout', 60]);
  });
});
