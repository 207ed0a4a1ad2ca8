/**
 * k3s and RKE2 with registries.yaml (k3s main of 2026, pkg/agent/containerd/config.go): hosts.toml is written from it, with
 * rewrites of the name; and wharfie (v0.7.1, pkg/registries/endpoint.go), which pulls the first images, with the same.
 */
import { containerd, pullImage } from './support/containerd.ts';
import { ggcr, pullImage as pullByGgcr } from './support/ggcr.ts';
import { app, costOfApp, costOfAppByGet } from './support/images.ts';
import { replays } from './support/replay.ts';
import { holding } from './support/weir.ts';

/** `mirrors: docker.io: rewrite: {"^rancher/(.*)": "mirror/$1"}`: the name changes, `ns` does not. */
replays('k3s, a rewrite to another name', {
  upstreams: { 'docker.io': holding('mirror/app', app, 'v1') },
  client: containerd,
  pull: async (client) => void (await pullImage({ client, ns: 'docker.io' }, 'mirror/app', 'v1')),
  cold: costOfApp,
});

/** `rewrite: {"(.*)": "ghcr.io/$1"}`, as written for caches that want the registry in the path: said twice, it counts once. */
replays('k3s, a rewrite that puts the registry in front', {
  upstreams: { 'ghcr.io': holding('org/app', app, 'v1') },
  client: containerd,
  pull: async (client) => void (await pullImage({ client, ns: 'ghcr.io' }, 'ghcr.io/org/app', 'v1')),
  cold: costOfApp,
});

/** endpoint.go `RoundTrip` sets `ns` on the ping as well; `index.docker.io` becomes `docker.io`. */
replays('k3s, system images by wharfie', {
  upstreams: { 'docker.io': holding('mirror/app', app, 'v1') },
  client: ggcr,
  pull: (client) => pullByGgcr({ client, query: '?ns=docker.io' }, 'mirror/app', 'v1'),
  cold: costOfAppByGet,
});
