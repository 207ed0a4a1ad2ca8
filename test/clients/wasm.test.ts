/**
 * Spin and wasmcloud (the Rust crate oci-client v0.16.0, src/client.rs): a ping without a scope, manifests and then blobs,
 * both with the Accept of manifests; `ns` where a mirror is configured.
 */
import { expect } from 'vitest';
import { mediaTypes } from '../../src/oci/media-type.ts';
import { artifactOf } from './support/artifacts.ts';
import type { ClientOptions, ReplayClient } from './support/client.ts';
import { blobsOf, expectWhole } from './support/descriptor.ts';
import { replays } from './support/replay.ts';
import { holding } from './support/weir.ts';

const rust: ClientOptions = { userAgent: 'oci-client/0.16.0', acceptsGzip: false };
/** client.rs `MIME_TYPES_DISTRIBUTION_MANIFEST`. */
const accept = [mediaTypes.dockerManifest, mediaTypes.dockerList, mediaTypes.ociManifest, mediaTypes.ociIndex].join(
  ', ',
);

const spin = artifactOf({
  config: { mediaType: 'application/vnd.fermyon.spin.application.v1+config', content: '{"spinLockVersion":1}' },
  layers: [
    { mediaType: 'application/vnd.wasm.content.layer.v1+wasm', content: 90_000 },
    { mediaType: 'application/vnd.wasm.content.layer.v1+data', content: 1_000 },
    { mediaType: 'application/vnd.wasm.content.bundle.v1.tar+gzip', content: 2_000 },
  ],
});
const component = artifactOf({
  config: { mediaType: 'application/vnd.wasm.config.v0+json', content: '{"os":"wasip2"}' },
  layers: [{ mediaType: 'application/wasm', content: 60_000 }],
});

async function pull(client: ReplayClient, repository: string, tag: string, query = ''): Promise<void> {
  // `_auth`: no WWW-Authenticate means no login. The ping carries no `ns`.
  expect((await client.get('/v2/', { Accept: '*/*' })).status).toBe(200);
  // `_pull_manifest_raw`: `validate_digest` holds the body against Docker-Content-Digest.
  const manifest = await client.get(`/v2/${repository}/manifests/${tag}${query}`, { Accept: accept });
  expect([manifest.status, manifest.headers['docker-content-digest']]).toEqual([200, manifest.sha256]);
  await Promise.all(
    blobsOf(manifest.body).map(async (blob) => {
      // `pull_blob_response`: the same Accept; the digest in the headers is checked as well.
      const answer = await client.get(`/v2/${repository}/blobs/${blob.digest}${query}`, { Accept: accept });
      expect(answer.headers['docker-content-digest']).toBe(blob.digest);
      expectWhole(answer, blob);
    }),
  );
}

replays('Spin, an application', {
  upstreams: { 'ghcr.io': holding('org/spin', spin, 'v1') },
  client: rust,
  pull: (client) => pull(client, 'ghcr.io/org/spin', 'v1'),
  cold: { 'GET manifest': 1, 'GET blob': 4 },
});

replays('wasmcloud, a component by a mirror with `ns`', {
  upstreams: { 'ghcr.io': holding('org/component', component, '0.1.0') },
  client: rust,
  pull: (client) => pull(client, 'org/component', '0.1.0', '?ns=ghcr.io'),
  cold: { 'GET manifest': 1, 'GET blob': 2 },
});
