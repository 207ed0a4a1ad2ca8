/**
 * containerd 2's CRI plugin with `certs.d/_default/hosts.toml` (containerd v2.4.2, core/remotes/docker/config/hosts.go):
 * one host for every registry, which `ns` tells apart.
 */
import { describe, expect, it } from 'vitest';
import { mediaTypes } from '../../src/oci/media-type.ts';
import { buildImage } from '../support/image-builder.ts';
import { eventually } from '../support/gate.ts';
import { hold } from '../support/upstream/behaviour.ts';
import type { RegistryContent } from '../support/upstream/content.ts';
import { artifactOf, emptyConfig } from './support/artifacts.ts';
import { ReplayClient } from './support/client.ts';
import {
  containerd,
  fetchContent,
  fetchHeaders,
  pullImage,
  resolveDigest,
  resolveTag,
  targetOf,
} from './support/containerd.ts';
import { described, parse } from './support/descriptor.ts';
import { app, appForAmd, costOfApp } from './support/images.ts';
import { replays } from './support/replay.ts';
import { holding, startWeir } from './support/weir.ts';

const both = {
  'docker.io': holding('library/app', app, 'v1'),
  'ghcr.io': holding('org/app', app, 'v1'),
};

replays('containerd, `_default` for ghcr.io', {
  upstreams: both,
  client: containerd,
  pull: async (client) => void (await pullImage({ client, ns: 'ghcr.io' }, 'org/app', 'v1')),
  cold: costOfApp,
});

replays('containerd, `_default` for docker.io', {
  upstreams: both,
  client: containerd,
  pull: async (client) => void (await pullImage({ client, ns: 'docker.io' }, 'library/app', 'v1')),
  cold: costOfApp,
});

replays('containerd, a host whose path is `/v2/ghcr.io` with override_path', {
  upstreams: both,
  client: containerd,
  pull: async (client) => void (await pullImage({ client, ns: 'ghcr.io', path: '/v2/ghcr.io' }, 'org/app', 'v1')),
  cold: costOfApp,
});

/** `imagePullPolicy: Always` on a node that has the image: every start of a pod is a HEAD, and nothing else. */
replays('containerd, a tag that the node has already', {
  upstreams: both,
  settings: { tags: { ttl: '0s' } },
  client: containerd,
  pull: async (client) => {
    expect(await resolveTag({ client, ns: 'ghcr.io' }, 'org/app', 'v1')).toEqual(described(app));
  },
  cold: { 'HEAD manifest': 1 },
  warm: { 'HEAD manifest': 1 },
});

replays('containerd, an image by digest', {
  upstreams: both,
  client: containerd,
  pull: async (client) => {
    const host = { client, ns: 'docker.io' };
    expect(await resolveDigest(host, 'library/app', appForAmd.digest)).toBe('manifests');
    await fetchContent(host, 'library/app', described(appForAmd));
  },
  cold: { 'HEAD manifest': 1, 'GET manifest': 1 },
});

describe('containerd', () => {
  it('finds a blob by its digest only at `blobs`, so that no node takes it for a manifest', async () => {
    await using weir = await startWeir({ upstreams: both });
    using client = new ReplayClient(weir.origin, containerd);
    const host = { client, ns: 'docker.io' };
    const layer = appForAmd.blobs[1]?.digest ?? '';
    expect(await resolveDigest(host, 'library/app', layer)).toBe('blobs');
    // The same once weir has it, and the other way round.
    await fetchContent(host, 'library/app', { digest: layer, mediaType: 'layer', size: 200_000 });
    expect(await resolveDigest(host, 'library/app', layer)).toBe('blobs');
    await fetchContent(host, 'library/app', described(appForAmd));
    expect((await client.head(targetOf(host, 'library/app', 'blobs', appForAmd.digest))).status).toBe(404);
  });

  it('goes on to the next host after a registry that weir does not have, and after an image that is not there', async () => {
    await using weir = await startWeir({ upstreams: both });
    using client = new ReplayClient(weir.origin, containerd);
    // resolver.go `Resolve`: a status above 299 is followed by the next host, a 404 with the priority of "not found".
    for (const [ns, repository] of [
      ['unknown.example', 'library/app'],
      ['localhost:5000', 'library/app'],
      ['docker.io', 'library/absent'],
    ] as const) {
      const answer = await client.head(targetOf({ client, ns }, repository, 'manifests', 'v1'));
      expect([ns, answer.status]).toEqual([ns, 404]);
    }
    // The first HEAD of all has proved nothing yet, so GET is asked as well.
    const asked = weir.upstreamRequests().map(({ method, repository }) => `${method} ${repository}`);
    expect(asked).toEqual(['HEAD library/absent', 'GET library/absent']);
    expect(await resolveTag({ client, ns: 'ghcr.io' }, 'org/app', 'v1')).toEqual(described(app));
  });

  it('resumes with an open range when its connection is cut in the middle of a layer', async () => {
    const image = buildImage({ seed: 'cut', layers: [9_000_000] });
    const layer = image.blobs[1];
    if (layer === undefined) throw new Error('no layer');
    await using weir = await startWeir({
      upstreams: { 'docker.io': holding('library/big', image) },
    });
    const upstream = weir.upstream('docker.io');
    // Held back at 5 MB, so that the cut is in the middle of the fill as well.
    upstream.on({ kind: 'blob' }, { times: 1 }, hold(5_000_000, upstream.gate('rest')));
    const target = targetOf({ client: undefined as never, ns: 'docker.io' }, 'library/big', 'blobs', layer.digest);
    using first = new ReplayClient(weir.origin, containerd);
    const begun = await first.get(target, fetchHeaders(layer.mediaType), { leave: { at: 4_000_000, how: 'rst' } });
    expect([begun.status, begun.cleanEnd, begun.bytes]).toEqual([200, false, 4_000_000]);
    // httpreadseeker.go `Read`: io.ErrUnexpectedEOF opens again at the offset. fetcher.go `withOffsetCheck` takes 206 as it is.
    using second = new ReplayClient(weir.origin, containerd);
    const resuming = second.get(target, fetchHeaders(layer.mediaType, 4_000_000));
    await eventually(() => second.connections === 1);
    upstream.gate('rest').open();
    const rest = await resuming;
    expect([rest.status, rest.headers['content-range']]).toEqual([206, 'bytes 4000000-8999999/9000000']);
    expect(Buffer.concat([begun.body, rest.body]).equals(layer.bytes)).toBe(true);
    expect(upstream.bytesSent({ kind: 'blob' })).toBe(9_000_000);
  });

  it('is told 416 with the size when it opens a layer at its very end', async () => {
    await using weir = await startWeir({ upstreams: both });
    using client = new ReplayClient(weir.origin, containerd);
    const layer = appForAmd.blobs[1]?.digest ?? '';
    const target = targetOf({ client, ns: 'ghcr.io' }, 'org/app', 'blobs', layer);
    for (const known of [false, true]) {
      const answer = await client.get(target, fetchHeaders('layer', 200_000));
      expect([known, answer.status, answer.headers['content-range']]).toEqual([known, 416, 'bytes */200000']);
      expect(JSON.parse(answer.body.toString())).toMatchObject({ errors: [{ code: 'RANGE_INVALID' }] });
      await client.get(target, fetchHeaders('layer'));
    }
  });

  it('looks for referrers of several types at once, and gets them all', async () => {
    const kinds = ['application/vnd.dev.cosign.artifact.sig.v1+json', 'application/spdx+json', 'application/other'];
    const found = kinds.map((artifactType) =>
      artifactOf({
        artifactType,
        config: emptyConfig,
        layers: [{ mediaType: 'text/plain', content: artifactType }],
        subject: app,
      }),
    );
    const fill = (content: RegistryContent): void => {
      for (const one of found) content.add('org/app', one);
    };
    await using weir = await startWeir({ upstreams: { 'ghcr.io': fill } });
    using client = new ReplayClient(weir.origin, containerd);
    // referrers.go `openReferrers` adds one artifactType for each that it wants, then `ns`; `FetchReferrers` picks them out.
    const query = new URLSearchParams([...kinds.slice(0, 2).map((kind) => ['artifactType', kind]), ['ns', 'ghcr.io']]);
    const answer = await client.get(
      `/v2/org/app/referrers/${app.digest}?${query.toString()}`,
      fetchHeaders(mediaTypes.ociIndex),
    );
    expect([answer.status, answer.headers['content-type']]).toEqual([200, mediaTypes.ociIndex]);
    const digests = parse(answer.body).manifests?.map(({ digest }) => digest) ?? [];
    expect(digests).toEqual(expect.arrayContaining(found.slice(0, 2).map(({ digest }) => digest)));
  });

  it('looks for referrers under a tag where there is no API, and believes the 404 of that', async () => {
    await using weir = await startWeir({ upstreams: both, behave: { 'ghcr.io': { hasReferrersApi: false } } });
    using client = new ReplayClient(weir.origin, containerd);
    const headers = fetchHeaders(mediaTypes.ociIndex);
    for (const [kind, reference] of [
      ['referrers', app.digest],
      ['manifests', app.digest.replace(':', '-')],
    ] as const) {
      const answer = await client.get(targetOf({ client, ns: 'ghcr.io' }, 'org/app', kind, reference), headers);
      expect([kind, answer.status]).toEqual([kind, 404]);
    }
  });

  it('may ask for a range of a manifest, which is sent whole', async () => {
    await using weir = await startWeir({ upstreams: both });
    using client = new ReplayClient(weir.origin, containerd);
    const target = targetOf({ client, ns: 'ghcr.io' }, 'org/app', 'manifests', app.digest);
    // fetcher.go `open` sends `bytes=0-` to both routes when layers are fetched in parallel.
    const answer = await client.get(target, { ...fetchHeaders(app.mediaType), Range: 'bytes=0-' });
    expect([answer.status, answer.sha256]).toEqual([200, app.digest]);
  });
});
