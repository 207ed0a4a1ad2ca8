/**
 * What Kubernetes pulls besides containers: image volumes (an image or artifact mounted by the runtime) and KServe's
 * modelcars. And the pull secrets of pods: kubelet offers them to whatever host a runtime asks, and none is weir's business.
 */
import { describe, expect, it } from 'vitest';
import { mediaTypes } from '../../src/oci/media-type.ts';
import { artifactOf } from './support/artifacts.ts';
import { ReplayClient } from './support/client.ts';
import { containerd, pullImage } from './support/containerd.ts';
import { blobsOf, expectWhole } from './support/descriptor.ts';
import { app } from './support/images.ts';
import { replays } from './support/replay.ts';
import { holding, startWeir } from './support/weir.ts';

/** `volumes: [{ image: { reference: ghcr.io/org/notes:1 } }]`. */
const notes = artifactOf({
  artifactType: 'application/vnd.example.notes',
  config: { mediaType: mediaTypes.ociEmpty, content: '{}' },
  layers: [
    { mediaType: mediaTypes.ociLayer, content: 10_240, annotations: { 'org.opencontainers.image.title': 'notes' } },
  ],
});
/** KServe, `storageUri: oci://ghcr.io/org/model:1`: an image whose layers hold `/models`. */
const modelcar = artifactOf({
  config: {
    mediaType: mediaTypes.ociConfig,
    content: '{"architecture":"amd64","os":"linux","rootfs":{"type":"layers"}}',
  },
  layers: [
    { mediaType: mediaTypes.ociLayerGzip, content: 2_000 },
    { mediaType: mediaTypes.ociLayer, content: 5_000_000 },
  ],
});
replays('an image volume, by containerd', {
  upstreams: { 'ghcr.io': holding('org/notes', notes, '1') },
  client: containerd,
  pull: async (client) => void (await pullImage({ client, ns: 'ghcr.io' }, 'org/notes', '1')),
  cold: { 'HEAD manifest': 1, 'GET manifest': 1, 'GET blob': 2 },
});

/** CRI-O pulls artifacts for volumes with containers/image, as in containers-image.test.ts. */
replays('an image volume, by CRI-O', {
  upstreams: { 'ghcr.io': holding('org/notes', notes, '1') },
  client: { userAgent: 'cri-o/1.34.0', headers: { 'Docker-Distribution-API-Version': 'registry/2.0' } },
  pull: async (client) => {
    await client.get('/v2/');
    const manifest = await client.get('/v2/ghcr.io/org/notes/manifests/1', {
      Accept: [mediaTypes.ociManifest, mediaTypes.ociIndex],
    });
    expect(manifest.sha256).toBe(notes.digest);
    for (const blob of blobsOf(manifest.body)) {
      expectWhole(await client.get(`/v2/ghcr.io/org/notes/blobs/${blob.digest}`), blob);
    }
  },
  cold: { 'GET manifest': 1, 'GET blob': 2 },
});

replays('a modelcar of KServe, by containerd', {
  upstreams: { 'ghcr.io': holding('org/model', modelcar, '1') },
  client: containerd,
  pull: async (client) => void (await pullImage({ client, ns: 'ghcr.io' }, 'org/model', '1')),
  cold: { 'HEAD manifest': 1, 'GET manifest': 1, 'GET blob': 3 },
});

describe('the pull secret of a pod', () => {
  it('stays with weir, which shows the upstream its own credential, and the pod what that may read', async () => {
    await using weir = await startWeir({
      upstreams: { 'registry.example': holding('org/app', app, 'v1') },
      behave: { 'registry.example': { auth: { kind: 'basic', users: { weir: 'its-own' } } } },
      configure: { 'registry.example': { auth: { username: 'weir', passwordEnv: 'OWN' }, access: 'all' } },
      env: { OWN: 'its-own' },
    });
    const own = `Basic ${Buffer.from('weir:its-own').toString('base64')}`;
    for (const authorization of [undefined, `Basic ${Buffer.from('pod:theirs').toString('base64')}`, 'Bearer theirs']) {
      using client = new ReplayClient(weir.origin, containerd);
      client.authorization = authorization;
      await pullImage({ client, ns: 'registry.example' }, 'org/app', 'v1');
    }
    const sent = weir.upstreamRequests().map(({ headers }) => headers['authorization']);
    // The first question goes out without any, and is answered with the challenge.
    expect(new Set(sent)).toEqual(new Set([undefined, own]));
    expect(sent.filter((value) => value === own).length).toBe(6);
  });

  it('gives a pod no more than the upstream gives anybody', async () => {
    await using weir = await startWeir({
      upstreams: { 'registry.example': holding('org/app', app, 'v1') },
      behave: { 'registry.example': { auth: { kind: 'basic', users: { pod: 'theirs' } } } },
    });
    using client = new ReplayClient(weir.origin, containerd);
    // This would open the upstream; it is not weir's to use.
    client.authorization = `Basic ${Buffer.from('pod:theirs').toString('base64')}`;
    const answer = await client.head('/v2/org/app/manifests/v1?ns=registry.example');
    expect(answer.status).toBe(403);
    expect(weir.upstreamRequests().filter(({ headers }) => 'authorization' in headers)).toEqual([]);
  });
});
