/**
 * falcoctl (main, pkg/oci/puller/puller.go, over oras-go v2): the config layer first, for what it depends on, then the
 * artifact; while it follows one, the descriptor again and again.
 */
import { expect } from 'vitest';
import { artifactOf } from './support/artifacts.ts';
import { blobsOf } from './support/descriptor.ts';
import { fetchBlob, fetchReference, oras, pullArtifact, resolveBlob } from './support/oras.ts';
import { replays } from './support/replay.ts';
import { holding } from './support/weir.ts';

const rules = artifactOf({
  config: {
    mediaType: 'application/vnd.cncf.falco.config.v1+json',
    content: '{"name":"falco-rules","version":"3.0.0"}',
  },
  layers: [{ mediaType: 'application/vnd.cncf.falco.rulesfile.layer.v1+tar.gz', content: 20_000 }],
});
/** `falcoctl artifact install weir:5000/ghcr.io/falcosecurity/rules/falco-rules:3 --plain-http`. */
const repository = 'ghcr.io/falcosecurity/rules/falco-rules';
const upstreams = {
  'ghcr.io': holding('falcosecurity/rules/falco-rules', rules, '3'),
};

replays('falcoctl, an installation', {
  upstreams,
  client: oras,
  pull: async (client) => {
    // `PullConfigLayer`: FetchReference, Blobs().Resolve, Fetch.
    const root = await fetchReference(client, repository, '3');
    const [config] = blobsOf(root.bytes);
    if (config === undefined) throw new Error('no config');
    expect(await resolveBlob(client, repository, config.digest)).toBe(config.size);
    await fetchBlob(client, repository, config);
    // `Pull`: FetchReference again, then a copy with one blob at a time.
    await fetchReference(client, repository, '3');
    await pullArtifact(client, repository, '3');
  },
  cold: { 'GET manifest': 1, 'HEAD blob': 1, 'GET blob': 2 },
});

replays('falcoctl, following', {
  upstreams,
  settings: { tags: { ttl: '0s' } },
  client: oras,
  pull: async (client) => {
    // `Descriptor`: FetchReference, whose body is not read any further.
    expect((await fetchReference(client, repository, '3')).digest).toBe(rules.digest);
  },
  cold: { 'GET manifest': 1 },
  // A HEAD says that nothing moved; the body is here.
  warm: { 'HEAD manifest': 1 },
});
