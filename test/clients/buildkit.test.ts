/**
 * BuildKit's `mirrors` (v0.34.2, util/resolver/resolver.go `newMirrorRegistryHost`): the path of a mirror goes behind `/v2`,
 * and containerd's resolver adds `ns`. Attestations are manifests for the platform unknown/unknown, pulled by digest.
 */
import { expect } from 'vitest';
import { buildImage, buildIndex } from '../support/image-builder.ts';
import { pullImage } from './support/containerd.ts';
import { replays } from './support/replay.ts';
import { holding } from './support/weir.ts';

const image = buildImage({ seed: 'built', layers: [4_000, 5_000] });
const attestation = buildImage({
  seed: 'provenance',
  layers: [700],
  platform: { os: 'unknown', architecture: 'unknown' },
  annotations: { 'vnd.docker.reference.type': 'attestation-manifest' },
});
const attested = buildIndex([image, attestation]);
/** util/resolver/pool.go: version.UserAgent. */
const buildkit = { userAgent: 'buildkit/v0.34' };

for (const path of ['/v2', '/v2/docker.io'] as const) {
  replays(`BuildKit, a mirror at \`weir${path.slice(3)}\``, {
    upstreams: { 'docker.io': holding('library/built', attested, 'v1') },
    client: buildkit,
    pull: async (client) => {
      const all = await pullImage({ client, ns: 'docker.io', path }, 'library/built', 'v1', () => true);
      expect(all).toContain(attestation.digest);
    },
    // The index and two manifests; two configs and three layers.
    cold: { 'HEAD manifest': 1, 'GET manifest': 3, 'GET blob': 5 },
  });
}
