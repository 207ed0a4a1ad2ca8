/** What the upstream said was not there stays so in an outage; what it was never asked stays an error. */
import { describe, expect, it } from 'vitest';
import { errorOf, WeirUnderTest } from '../../conformance/support/weir.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { buildArtifact, buildImage, buildIndex } from '../../support/image-builder.ts';
import { answer } from '../../support/upstream/behaviour.ts';

const repository = 'org/app';
const image = buildImage();
const stem = image.digest.replace(':', '-');
const manifests = `${repository}/manifests`;
/** After this the 404 is asked anew. */
const rememberedMs = 5_000;

async function started(clock: FakeClock, staleIfErrorMs = 86_400_000): Promise<WeirUnderTest> {
  const weir = await WeirUnderTest.start({ clock, hasReferrersApi: false, staleIfErrorMs });
  weir.upstream.content.add(repository, image, 'v1');
  return weir;
}

/** What clients look at before a pull: imgpkg, cosign, hauler, notation, cue. */
const absent = [
  `${manifests}/${stem}`,
  `${manifests}/${stem}.sig`,
  `${manifests}/${stem}.att`,
  `${manifests}/${stem}.sbom`,
  `${manifests}/${stem}.image-locations.imgpkg`,
  `${manifests}/no-such-tag`,
  'cue/ex.test/tags/list',
  `${repository}/referrers/${image.digest}`,
];

describe('what was not there', () => {
  it.each(absent)('%s is not there in an outage either, and marked stale', async (path) => {
    const clock = new FakeClock();
    await using weir = await started(clock);
    const before = await weir.ask(path);
    expect(before.status).toBe(404);
    await clock.advance(path.includes('referrers') ? 30_000 : rememberedMs);
    await weir.upstream.stop();
    for (const wait of [0, 0, 3_600_000]) {
      await clock.advance(wait);
      const told = await weir.ask(path);
      expect([told.status, errorOf(told).code]).toEqual([404, errorOf(before).code]);
      expect(told.headers['cache-status']).toMatch(/^weir; hit; ttl=-[0-9]+; detail=stale$/);
    }
    await clock.advance(86_400_000);
    expect((await weir.ask(path)).status).toBeGreaterThanOrEqual(502);
  });

  it.each(absent)('%s that was never asked is an error in an outage', async (path) => {
    const clock = new FakeClock();
    await using weir = await started(clock);
    await weir.ask(`${manifests}/v1`);
    await weir.upstream.stop();
    const told = await weir.ask(path);
    expect(told.status).toBeGreaterThanOrEqual(502);
  });

  it('is asked anew after 5 s while the upstream answers, and forgotten when it is there', async () => {
    const clock = new FakeClock();
    await using weir = await started(clock);
    const path = `${manifests}/${stem}.sig`;
    expect((await weir.ask(path)).status).toBe(404);
    const signature = buildArtifact({ seed: 'late', subject: image });
    weir.upstream.content.add(repository, signature, `${stem}.sig`);
    await clock.advance(rememberedMs);
    expect((await weir.ask(path)).sha256).toBe(signature.digest);
    await clock.advance(30_000);
    await weir.upstream.stop();
    const kept = await weir.ask(path);
    expect([kept.status, kept.sha256]).toEqual([200, signature.digest]);
  });

  it('stays away in an outage when it was there before: a revoked signature does not come back', async () => {
    const clock = new FakeClock();
    await using weir = await started(clock);
    const path = `${manifests}/${stem}.sig`;
    weir.upstream.content.add(repository, buildArtifact({ seed: 'revoked', subject: image }), `${stem}.sig`);
    expect((await weir.ask(path)).status).toBe(200);
    const rule = weir.upstream.on({ kind: 'manifest' }, answer(404));
    await clock.advance(30_000);
    expect((await weir.ask(path)).status).toBe(404);
    rule.remove();
    await clock.advance(30_000);
    await weir.upstream.stop();
    expect((await weir.ask(path)).status).toBe(404);
  });

  it('outlives a restart where it is about a manifest that is served here, and only there', async () => {
    const clock = new FakeClock();
    await using weir = await started(clock);
    const child = buildIndex([image]);
    weir.upstream.content.add(repository, child);
    const other = `${manifests}/${child.digest.replace(':', '-')}.sig`;
    await weir.ask(`${manifests}/${image.digest}`);
    for (const path of [`${manifests}/${stem}.sig`, other, `${manifests}/no-such-tag`]) {
      expect((await weir.ask(path)).status).toBe(404);
    }
    await weir.restart({ offline: true });
    await clock.advance(365 * 86_400_000);
    const told = await weir.ask(`${manifests}/${stem}.sig`);
    expect([told.status, errorOf(told).code]).toEqual([404, 'MANIFEST_UNKNOWN']);
    expect(told.headers['cache-status']).toMatch(/^weir; hit; ttl=-[0-9]+; detail=offline$/);
    for (const path of [other, `${manifests}/no-such-tag`]) expect((await weir.ask(path)).status).toBe(503);
  });

  it('is no word any more once the upstream has refused the repository', async () => {
    const clock = new FakeClock();
    await using weir = await started(clock);
    const path = `${manifests}/${stem}.sig`;
    expect((await weir.ask(path)).status).toBe(404);
    await clock.advance(rememberedMs);
    const rule = weir.upstream.on({}, answer(403));
    expect((await weir.ask(path)).status).toBe(403);
    rule.remove();
    await weir.upstream.stop();
    expect((await weir.ask(path)).status).toBeGreaterThanOrEqual(502);
  });
});
