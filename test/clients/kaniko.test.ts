/**
 * Kaniko (osscontainertools/kaniko, main, pkg/image/remote/remote.go `RetrieveRemoteImage`) over go-containerregistry: `--registry-mirror` for Docker
 * Hub, `--registry-map` for any registry, the path of either in front of the name.
 */
import { ggcr, pullImage } from './support/ggcr.ts';
import { app, costOfAppByGet } from './support/images.ts';
import { replays } from './support/replay.ts';
import { holding } from './support/weir.ts';

const upstreams = {
  'docker.io': holding('library/app', app, 'v1'),
  'gcr.io': holding('project/app', app, 'v1'),
};

for (const [options, repository] of [
  ['--registry-mirror=weir:5000', 'library/app'],
  ['--registry-map=index.docker.io=weir:5000/docker.io', 'docker.io/library/app'],
  ['--registry-map=gcr.io=weir:5000/gcr.io', 'gcr.io/project/app'],
] as const) {
  replays(`Kaniko, \`${options}\``, {
    upstreams,
    client: ggcr,
    pull: (client) => pullImage({ client }, repository, 'v1'),
    cold: costOfAppByGet,
  });
}
