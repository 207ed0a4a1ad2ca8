/**
 * nerdctl (main of v2, pkg/imgutil/dockerconfigresolver/dockerconfigresolver.go): containerd's resolver with `--hosts-dir`, and with
 * the credentials of `~/.docker/config.json` for whatever host answers 401, which weir never does.
 */
import { containerd, pullImage } from './support/containerd.ts';
import { app, costOfApp } from './support/images.ts';
import { replays } from './support/replay.ts';
import { holding } from './support/weir.ts';

const upstreams = {
  'quay.io': holding('org/app', app, 'v1'),
};

replays('nerdctl, a hosts.toml', {
  upstreams,
  client: containerd,
  pull: async (client) => void (await pullImage({ client, ns: 'quay.io' }, 'org/app', 'v1')),
  cold: costOfApp,
});

/** `nerdctl --insecure-registry pull weir:5000/quay.io/org/app:v1`: the reference's host is weir's, so there is no `ns`. */
replays('nerdctl, weir in the reference', {
  upstreams,
  client: containerd,
  pull: async (client) => void (await pullImage({ client }, 'quay.io/org/app', 'v1')),
  cold: costOfApp,
});
