/**
 * notation (notation-go v1.3.2, registry/repository.go, over oras-go): HEAD of the image, its referrers with the signature's
 * artifactType, each signature's manifest, and the envelope.
 */
import { describe, expect, it } from 'vitest';
import type { RegistryContent } from '../support/upstream/content.ts';
import { artifactOf } from './support/artifacts.ts';
import { ReplayClient } from './support/client.ts';
import { fetchBlob, fetchManifest, oras, referrers, resolve } from './support/oras.ts';
import { appForAmd } from './support/images.ts';
import { parse } from './support/descriptor.ts';
import { replays } from './support/replay.ts';
import { startWeir } from './support/weir.ts';

const signatureType = 'application/vnd.cncf.notary.signature';
/** `uploadSignatureManifest`: the type is that of the config, not an artifactType. */
const signature = artifactOf({
  config: { mediaType: signatureType, content: '{}' },
  layers: [{ mediaType: 'application/jose+json', content: '{"payload":"…","signature":"…"}' }],
  subject: appForAmd,
  annotations: { 'io.cncf.notary.x509chain.thumbprint#S256': '[]' },
});
const sbom = artifactOf({
  artifactType: 'application/spdx+json',
  config: { mediaType: 'application/vnd.oci.empty.v1+json', content: '{}' },
  layers: [{ mediaType: 'application/spdx+json', content: '{}' }],
  subject: appForAmd,
});
const repository = 'ghcr.io/org/signed';
const upstreams = {
  'ghcr.io': (content: RegistryContent) => {
    content.add('org/signed', appForAmd, 'v1');
    content.add('org/signed', signature);
    content.add('org/signed', sbom);
  },
};

async function verify(client: ReplayClient): Promise<void> {
  const { digest } = await resolve(client, repository, 'v1');
  const found = await referrers(client, repository, digest, signatureType);
  expect(found.map((one) => one.digest)).toEqual([signature.digest]);
  for (const one of found) {
    const { layers = [] } = parse(await fetchManifest(client, repository, one));
    expect(layers.length).toBe(1);
    for (const envelope of layers) await fetchBlob(client, repository, envelope);
  }
}

replays('notation, a verification', {
  upstreams,
  client: oras,
  pull: verify,
  cold: { 'HEAD manifest': 1, 'GET referrers': 1, 'GET manifest': 1, 'GET blob': 1 },
});

describe('notation', () => {
  it('is told of an outage, and never that there are no signatures', async () => {
    await using weir = await startWeir({ upstreams });
    using client = new ReplayClient(weir.origin, oras);
    const { digest } = await resolve(client, repository, 'v1');
    await weir.stopUpstreams();
    const answer = await client.get(
      `/v2/${repository}/referrers/${digest}?artifactType=${encodeURIComponent(signatureType)}`,
    );
    // repository.go `referrersPageByAPI`: only a 404 would send it to the tag schema, and only a 200 be believed.
    expect([502, 503]).toContain(answer.status);
  });

  it('goes on to the tag schema where the upstream has no referrers API, and not because of a missing name', async () => {
    await using weir = await startWeir({ upstreams, behave: { 'ghcr.io': { hasReferrersApi: false } } });
    using client = new ReplayClient(weir.origin, oras);
    const answer = await client.get(`/v2/${repository}/referrers/${appForAmd.digest}`);
    expect(answer.status).toBe(404);
    // NAME_UNKNOWN would end the verification with an error.
    expect(answer.body.toString()).not.toContain('NAME_UNKNOWN');
    const tag = await client.get(`/v2/${repository}/manifests/${appForAmd.digest.replace(':', '-')}`);
    expect(tag.status).toBe(404);
  });
});
