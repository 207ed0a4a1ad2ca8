/** kind (v0.33.0) nodes: containerd's `certs.d`, which kind configures, with one hosts.toml for each registry. */
import { containerd, pullImage } from './support/containerd.ts';
import { app, costOfApp } from './support/images.ts';
import { replays } from './support/replay.ts';
import { holding } from './support/weir.ts';

/** A registry with a port is asked for as `ns=registry.example%3A5000`. */
replays('kind, a registry with a port', {
  upstreams: { 'registry.example:5000': holding('org/app', app, 'v1') },
  client: containerd,
  pull: async (client) => void (await pullImage({ client, ns: 'registry.example:5000' }, 'org/app', 'v1')),
  cold: costOfApp,
});
