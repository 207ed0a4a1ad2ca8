/**
 * Podman, Buildah, skopeo and CRI-O with `registries.conf` (containers/image, go.podman.io/image/v5 v5.42.1, docker/): no
 * HEAD, a path prefix instead of `ns` (or `namespace-proxy`, which is new), every blob from where the manifest was.
 */
import { describe, expect, it } from 'vitest';
import { mediaTypes } from '../../src/oci/media-type.ts';
import { buildImage } from '../support/image-builder.ts';
import { type ClientOptions, ReplayClient } from './support/client.ts';
import { blobsOf, expectWhole, parse } from './support/descriptor.ts';
import { refusesTls } from './support/ggcr.ts';
import { app, costOfAppByGet } from './support/images.ts';
import { replays } from './support/replay.ts';
import { holding, startWeir } from './support/weir.ts';

/** docker_client.go `makeRequestToResolvedURLOnce`; internal/useragent. */
const podman: ClientOptions = {
  userAgent: 'containers/5.42.1 (github.com/containers/image)',
  headers: { 'Docker-Distribution-API-Version': 'registry/2.0' },
};
/** CRI-O sets a user agent of its own (server/useragent); its requests are the library's. */
const crio: ClientOptions = { ...podman, userAgent: 'cri-o/1.34.0 go/go1.24.9 os/linux arch/amd64' };
/** manifest/manifest.go `DefaultRequestedManifestMIMETypes`, each on a line of its own. */
const accept = [
  mediaTypes.ociManifest,
  mediaTypes.dockerManifest,
  mediaTypes.dockerSigned,
  mediaTypes.dockerUnsigned,
  mediaTypes.dockerList,
  mediaTypes.ociIndex,
];
const upstreams = {
  'docker.io': holding('library/app', app, 'v1'),
  'quay.io': holding('org/app', app, 'v1'),
};

async function pull(client: ReplayClient, repository: string, query = ''): Promise<void> {
  // docker_client.go `detectPropertiesHelper`: https, then (insecure = true) http; 200 or 401, anything else is no registry.
  await refusesTls(client.origin);
  expect((await client.get(`/v2/${query}`)).status).toBe(200);
  const manifest = async (reference: string): Promise<Buffer> => {
    const answer = await client.get(`/v2/${repository}/manifests/${reference}${query}`, { Accept: accept });
    // manifest.go guesses where the type is text/plain or missing.
    expect([answer.status, answer.headers['content-type']]).toEqual([
      200,
      expect.stringMatching(/^application\/vnd\./),
    ]);
    if (reference.includes(':')) expect(answer.sha256).toBe(reference);
    return answer.body;
  };
  const index = parse(await manifest('v1'));
  const child = index.manifests?.find(({ platform }) => platform?.architecture === 'amd64');
  for (const blob of blobsOf(await manifest(child?.digest ?? ''))) {
    // docker_client.go `getBlob`: no Accept.
    expectWhole(await client.get(`/v2/${repository}/blobs/${blob.digest}${query}`), blob);
  }
}

replays('podman, a mirror whose location is `weir/quay.io`', {
  upstreams,
  client: podman,
  pull: (client) => pull(client, 'quay.io/org/app'),
  cold: costOfAppByGet,
});

replays('CRI-O, a mirror whose location is `weir/docker.io`', {
  upstreams,
  client: crio,
  pull: (client) => pull(client, 'docker.io/library/app'),
  cold: costOfAppByGet,
});

// docker_client.go `resolveRequestURL`: with `namespace-proxy = "quay.io"` every request of the mirror carries `ns`.
replays('podman, a mirror with `namespace-proxy`', {
  upstreams,
  client: podman,
  pull: (client) => pull(client, 'org/app', '?ns=quay.io'),
  cold: costOfAppByGet,
});

describe('containers/image', () => {
  it('reconnects in the middle of a blob with 206 and a Content-Range to its end', async () => {
    const image = buildImage({ seed: 'reconnect', layers: [300_000] });
    const layer = image.blobs[1];
    if (layer === undefined) throw new Error('no layer');
    await using weir = await startWeir({ upstreams: { 'quay.io': holding('org/big', image) } });
    using client = new ReplayClient(weir.origin, podman);
    const target = `/v2/quay.io/org/big/blobs/${layer.digest}`;
    const begun = await client.get(target, {}, { leave: { at: 120_000, how: 'rst' } });
    // body_reader.go `Read`: first must be the offset, and last the end; 200 is an error here.
    const rest = await client.get(target, { Range: 'bytes=120000-' });
    expect([rest.status, rest.headers['content-range']]).toEqual([206, 'bytes 120000-299999/300000']);
    expect(Buffer.concat([begun.body, rest.body]).equals(layer.bytes)).toBe(true);
    expect(weir.upstream('quay.io').bytesSent({ kind: 'blob' })).toBe(300_000);
  });

  it('finds no lookaside signatures, and a sigstore tag that is not there is a plain 404', async () => {
    await using weir = await startWeir({ upstreams });
    using client = new ReplayClient(weir.origin, podman);
    // docker_client.go: `X-Registry-Supports-Signatures: 1` would send it to /extensions/v2/.
    expect((await client.get('/v2/')).headers).not.toHaveProperty('x-registry-supports-signatures');
    const tag = `${app.digest.replace(':', '-')}.sig`;
    const answer = await client.get(`/v2/quay.io/org/app/manifests/${tag}`, { Accept: accept });
    expect(answer.status).toBe(404);
    expect(JSON.parse(answer.body.toString())).toMatchObject({ errors: [{ code: 'MANIFEST_UNKNOWN' }] });
  });
});
