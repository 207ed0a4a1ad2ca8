/**
 * Flux's source-controller (v1.9.4, internal/controller/ocirepository_controller.go): HEAD of the tag at every interval; when
 * it moved, the manifest by digest and the one layer that `layerSelector` names.
 */
import { expect } from 'vitest';
import { artifactOf } from './support/artifacts.ts';
import { blobBytes, ggcr, head, manifest, ping } from './support/ggcr.ts';
import { parse } from './support/descriptor.ts';
import { replays } from './support/replay.ts';
import { holding } from './support/weir.ts';

const layerType = 'application/vnd.cncf.flux.content.v1.tar+gzip';
const bundle = artifactOf({
  config: { mediaType: 'application/vnd.cncf.flux.config.v1+json', content: '{}' },
  layers: [
    { mediaType: 'text/x-readme', content: 'not selected' },
    { mediaType: layerType, content: 30_000 },
  ],
  annotations: { 'org.opencontainers.image.revision': 'main@sha1:450796ddb2ab6724ee1cc32a4be56da032d1cca0' },
});
/** `spec.url: oci://weir:5000/ghcr.io/org/manifests`, `spec.insecure: true`. */
const repository = 'ghcr.io/org/manifests';
/** fluxcd/pkg/oci: UserAgent. */
const flux = { ...ggcr, userAgent: 'flux/v2' };
const upstreams = {
  'ghcr.io': holding('org/manifests', bundle, 'latest'),
};

replays('Flux, a new revision', {
  upstreams,
  client: flux,
  pull: async (client) => {
    await ping({ client });
    // `getRevision`: remote.Head; on an error remote.Get, which would count as a pull.
    const { digest } = await head({ client }, repository, 'latest');
    expect(digest).toBe(bundle.digest);
    const { bytes } = await manifest({ client }, repository, digest);
    // `selectLayer`: config and other layers are never fetched.
    const layer = parse(bytes).layers?.find(({ mediaType }) => mediaType === layerType);
    if (layer === undefined) throw new Error('no such layer');
    await blobBytes({ client }, repository, layer);
  },
  cold: { 'HEAD manifest': 1, 'GET manifest': 1, 'GET blob': 1 },
});

replays('Flux, every interval when nothing moved', {
  upstreams,
  settings: { tags: { ttl: '0s' } },
  client: flux,
  pull: async (client) => {
    await ping({ client });
    // It has fetched the artifact before there was a weir: nothing but the digest is wanted, during an outage as well.
    expect((await head({ client }, repository, 'latest')).digest).toBe(bundle.digest);
  },
  // A registry counts no HEAD as a pull.
  cold: { 'HEAD manifest': 1 },
  warm: { 'HEAD manifest': 1 },
});
