/**
 * dockerd with `registry-mirrors`: its own store (moby v28.5.2, distribution/pull_v2.go, over docker/distribution v2.8.3,
 * registry/client), which sends no `ns`, and the containerd store (moby v2.0.0-beta.24, daemon/hosts.go), which does.
 */
import { describe, expect, it } from 'vitest';
import { mediaTypes } from '../../src/oci/media-type.ts';
import { eventually } from '../support/gate.ts';
import { buildImage } from '../support/image-builder.ts';
import { type ClientOptions, ReplayClient } from './support/client.ts';
import { pullImage } from './support/containerd.ts';
import { blobsOf, describedBy, expectWhole, parse } from './support/descriptor.ts';
import { app, costOfApp } from './support/images.ts';
import { replays } from './support/replay.ts';
import { holding, startWeir } from './support/weir.ts';

/** distribution/registry.go `newRepository`: DisableKeepAlives. dockerversion/useragent.go. */
const dockerd: ClientOptions = {
  userAgent:
    'docker/28.5.2 go/go1.24.9 git-commit/89c5e8f os/linux arch/amd64 UpstreamClient(Docker-Client/28.5.2 (linux))',
  keepAlive: false,
};
/** manifests.go `ManifestMediaTypes`, each on a line of its own. */
const accept = [
  mediaTypes.dockerManifest,
  mediaTypes.dockerSigned,
  mediaTypes.json,
  mediaTypes.dockerList,
  mediaTypes.ociIndex,
  mediaTypes.ociManifest,
];
const repository = 'library/app';
const upstreams = {
  'docker.io': holding(repository, app, 'v1'),
};

async function pull(client: ReplayClient): Promise<void> {
  // registry/auth.go `PingV2Registry`: 200 has to be plain; a challenge would be read here.
  expect((await client.get('/v2/')).status).toBe(200);
  // client/repository.go `tags.Get`: HEAD; a GET would follow without Docker-Content-Digest.
  const tag = await client.head(`/v2/${repository}/manifests/v1`, { Accept: accept });
  const root = describedBy(tag);
  // client/repository.go `manifests.Get`, by digest; the Content-Type decides how it is read.
  const index = await client.get(`/v2/${repository}/manifests/${root.digest}`, { Accept: accept });
  expect(index.headers['content-type']).toBe(root.mediaType);
  const child = parse(expectWhole(index, root)).manifests?.find(({ platform }) => platform?.architecture === 'amd64');
  if (child === undefined) throw new Error('no manifest for amd64');
  const manifest = await client.get(`/v2/${repository}/manifests/${child.digest}`, { Accept: accept });
  // pull_v2.go `pullSchema2Layers`: the config and three layers at a time, over transport/http_reader.go.
  const blobs = blobsOf(expectWhole(manifest, child));
  await Promise.all(
    blobs.map(async (blob) => expectWhole(await client.get(`/v2/${repository}/blobs/${blob.digest}`), blob)),
  );
}

replays("dockerd's own store", { upstreams, client: dockerd, pull, cold: costOfApp, connections: 7 });

for (const ns of ['docker.io', undefined]) {
  replays(`dockerd's containerd store, ${ns === undefined ? 'without `ns`' : `\`ns=${ns}\``}`, {
    upstreams,
    client: { userAgent: 'docker/29.0.0 containerd-client/2.2.0 storage-driver/overlayfs' },
    pull: async (client) => void (await pullImage({ client, ...(ns === undefined ? {} : { ns }) }, repository, 'v1')),
    cold: costOfApp,
  });
}

describe('dockerd', () => {
  it('resumes a layer with 206 and a Content-Range that ends with the blob', async () => {
    const image = buildImage({ seed: 'resume', layers: [300_000] });
    const layer = image.blobs[1];
    if (layer === undefined) throw new Error('no layer');
    await using weir = await startWeir({
      upstreams: { 'docker.io': holding('library/big', image) },
    });
    for (const state of ['cold', 'warm']) {
      using client = new ReplayClient(weir.origin, dockerd);
      // pull_v2.go `Download` seeks to what it has before its first request; http_reader.go `reader` insists on the rest.
      const rest = await client.get(`/v2/library/big/blobs/${layer.digest}`, { Range: 'bytes=100000-' });
      expect([state, rest.status, rest.headers['content-range']]).toEqual([state, 206, 'bytes 100000-299999/300000']);
      expect(rest.body.equals(layer.bytes.subarray(100_000))).toBe(true);
    }
    // What nobody asked for comes behind what somebody did.
    const sent = (): number => weir.upstream('docker.io').bytesSent({ kind: 'blob' });
    await eventually(
      () => sent() >= 300_000,
      () => `${sent()} bytes`,
    );
    expect(sent()).toBe(300_000);
  });

  it('is refused under a path: its mirrors are at the root', async () => {
    await using weir = await startWeir({ upstreams });
    using client = new ReplayClient(weir.origin, dockerd);
    expect((await client.get('/docker.io/v2/')).status).toBe(404);
    expect(weir.upstreamRequests()).toEqual([]);
  });
});
