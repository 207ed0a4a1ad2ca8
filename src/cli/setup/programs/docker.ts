/**
 * dockerd's daemon.json. A mirror is for Docker Hub only, and without the containerd image store it is asked without
 * `ns` at the root, which is where weir's default upstream answers (moby daemon/pkg/registry).
 */
import { type ClientSetup, ownFile, type SetupFile, SetupError, type SetupRequest } from '../contract/client-setup.ts';

const daemonJson = '/etc/docker/daemon.json';

export const docker: ClientSetup = {
  name: 'docker',
  aliases: ['dockerd'],
  summary: 'registry-mirrors for Docker Hub; others by path',
  generate: (request) => {
    const { listener, upstreams } = request;
    const hub = upstreams.find(({ isHub, isDefault }) => isHub && isDefault) ?? upstreams.find(({ isHub }) => isHub);
    const others = upstreams.filter((upstream) => upstream !== hub);
    if (hub !== undefined && !hub.isDefault && others.length === 0) throw new SetupError(hubIsNotDefault);
    const mirrors = hub?.isDefault === true ? { 'registry-mirrors': [listener.origin] } : {};
    const insecure = listener.isTls || listener.isLoopback ? {} : { 'insecure-registries': [listener.authority] };
    const lists = { ...mirrors, ...insecure };
    return {
      files: [
        ...(Object.keys(lists).length === 0 ? [] : [{ path: daemonJson, content: { kind: 'json', lists } as const }]),
        ...authority(request),
      ],
      commands: ['systemctl restart docker'],
      notes: [
        ...(hub?.isDefault === true ? [] : [hubIsNotDefault]),
        ...others.slice(0, 1).map(({ key }) => `By path: docker pull ${listener.authority}/${key}/NAME`),
      ],
    };
  },
};

const hubIsNotDefault =
  'A mirror of dockerd is asked for Docker Hub and without saying so: docker.io must be the default upstream for it.';

/** Where dockerd looks for the authorities of one registry (docs.docker.com/engine/security/certificates). */
function authority({ listener: { authority: name, ca } }: SetupRequest): readonly SetupFile[] {
  return ca === undefined ? [] : [ownFile(`/etc/docker/certs.d/${name}/ca.crt`, 'docker', ca.pem)];
}
