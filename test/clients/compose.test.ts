/**
 * Compose files as artifacts (Docker Compose v5.0.2, internal/oci/resolver.go `Get`, pkg/remote/oci.go): containerd's
 * resolver, which each layer goes through as well, by digest: HEAD at `manifests`, and at `blobs` after the 404.
 */
import { describe, expect, it } from 'vitest';
import { eventually } from '../support/gate.ts';
import { artifactOf } from './support/artifacts.ts';
import { ReplayClient } from './support/client.ts';
import { containerd, fetchContent, resolveDigest, resolveTag } from './support/containerd.ts';
import { expectWhole, parse } from './support/descriptor.ts';
import { oras, pullArtifact } from './support/oras.ts';
import { replays } from './support/replay.ts';
import { holding, startWeir } from './support/weir.ts';

const project = artifactOf({
  artifactType: 'application/vnd.docker.compose.project',
  config: { mediaType: 'application/vnd.docker.compose.config.empty.v1+json', content: '{}' },
  layers: [
    { mediaType: 'application/vnd.docker.compose.file+yaml', content: 'services: { app: { image: app } }\n' },
    { mediaType: 'application/vnd.docker.compose.envfile', content: 'A=1\n' },
  ],
});
/** `docker compose -f oci://weir:5000/docker.io/org/project:v1`: weir is in the reference, so there is no `ns`. */
const repository = 'docker.io/org/project';
const upstreams = {
  'docker.io': holding('org/project', project, 'v1'),
};

async function load(client: ReplayClient): Promise<void> {
  const root = await resolveTag({ client }, repository, 'v1');
  const { layers = [] } = parse(await fetchContent({ client }, repository, root));
  for (const layer of layers) {
    expect(await resolveDigest({ client }, repository, layer.digest)).toBe('blobs');
    // The descriptor of a blob has the Content-Type of its HEAD.
    expectWhole(
      await client.get(`/v2/${repository}/blobs/${layer.digest}`, { Accept: 'application/octet-stream, */*' }),
      layer,
    );
  }
}

replays('Compose', {
  upstreams,
  client: containerd,
  pull: load,
  // A HEAD of the tag, and one for each layer at either place.
  cold: { 'HEAD manifest': 3, 'HEAD blob': 2, 'GET manifest': 1, 'GET blob': 2 },
});

describe('Compose', () => {
  it('finds files without the upstream that another client brought in', async () => {
    await using weir = await startWeir({ upstreams });
    using other = new ReplayClient(weir.origin, oras);
    await pullArtifact(other, repository, 'v1');
    // Clients have the last bytes of a blob before it is durable.
    for (const { digest } of project.blobs) {
      await eventually(async () => {
        const { headers } = await other.head(`/v2/${repository}/blobs/${digest}`, {});
        return headers['cache-status']?.includes('hit') === true;
      });
    }
    await weir.stopUpstreams();
    using client = new ReplayClient(weir.origin, containerd);
    await load(client);
  });
});
