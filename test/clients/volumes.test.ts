/**
 * Docker volumes as images (Docker Desktop's "Export to a registry": one layer on an empty image, pushed under a name of the
 * user's), pulled by dockerd from weir itself, which is no mirror there: no HEAD saved, no `ns`.
 */
import { mediaTypes } from '../../src/oci/media-type.ts';
import { buildImage } from '../support/image-builder.ts';
import { blobsOf, describedBy, expectWhole } from './support/descriptor.ts';
import { replays } from './support/replay.ts';
import { holding } from './support/weir.ts';

const volume = buildImage({ seed: 'volume', layers: [400_000], flavour: 'docker' });
const repository = 'docker.io/me/volume';

/** moby v28.5.2, distribution/pull_v2.go, as in dockerd.test.ts: a tag that is an image at once. */
replays('a volume, by dockerd', {
  upstreams: { 'docker.io': holding('me/volume', volume, 'backup') },
  client: { userAgent: 'docker/28.5.2 go/go1.24.9 os/linux arch/amd64', keepAlive: false },
  pull: async (client) => {
    await client.get('/v2/');
    const accept = {
      Accept: [mediaTypes.dockerManifest, mediaTypes.dockerList, mediaTypes.ociIndex, mediaTypes.ociManifest],
    };
    const root = describedBy(await client.head(`/v2/${repository}/manifests/backup`, accept));
    const bytes = expectWhole(await client.get(`/v2/${repository}/manifests/${root.digest}`, accept), root);
    for (const blob of blobsOf(bytes)) expectWhole(await client.get(`/v2/${repository}/blobs/${blob.digest}`), blob);
  },
  cold: { 'HEAD manifest': 1, 'GET manifest': 1, 'GET blob': 2 },
});
