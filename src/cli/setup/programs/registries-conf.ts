/**
 * containers-registries.conf(5), which Podman, Buildah, skopeo and CRI-O read: a mirror for each registry. These clients
 * send no `ns`, so the mirror's location names the upstream.
 */
import {
  type ClientSetup,
  nameNotes,
  ownFile,
  quoted,
  registriesOrRefuse,
  segmentOf,
  type Setup,
  type SetupRequest,
} from '../contract/client-setup.ts';

function generate(request: SetupRequest, client: string, commands: readonly string[]): Setup {
  const { authority, isTls, ca } = request.listener;
  const blocks = registriesOrRefuse(request).map((upstream) =>
    [
      '[[registry]]',
      `prefix = ${quoted(upstream.key)}`,
      `location = ${quoted(upstream.key)}`,
      '',
      '[[registry.mirror]]',
      `location = ${quoted(`${authority}/${segmentOf(upstream)}`)}`,
      ...(isTls ? [] : ['insecure = true']),
      '',
    ].join('\n'),
  );
  return {
    files: [
      ownFile('/etc/containers/registries.conf.d/weir.conf', client, blocks.join('\n')),
      ...(ca === undefined ? [] : [ownFile(`/etc/containers/certs.d/${authority}/ca.crt`, client, ca.pem)]),
    ],
    commands,
    notes: nameNotes(request),
  };
}

export const podman: ClientSetup = {
  name: 'podman',
  aliases: ['buildah', 'skopeo'],
  summary: 'a mirror for each registry; read anew at each pull',
  generate: (request) => generate(request, 'podman', []),
};

export const crio: ClientSetup = {
  name: 'cri-o',
  aliases: ['crio'],
  summary: 'the same file; reload CRI-O afterwards',
  generate: (request) => generate(request, 'cri-o', ['systemctl reload crio']),
};
