/** buildkitd.toml (moby/buildkit docs/buildkitd.toml.md): mirrors by registry; `ns` tells weir which one is meant. */
import {
  type ClientSetup,
  loopbackNotes,
  nameNotes,
  ownFile,
  quoted,
  registriesOrRefuse,
  type SetupRequest,
} from '../contract/client-setup.ts';

const path = '/etc/buildkit/buildkitd.toml';

function buildkitdToml(request: SetupRequest): string {
  const { authority, isTls, ca } = request.listener;
  const mirrors = registriesOrRefuse(request).flatMap(({ key }) => [
    `[registry.${quoted(key)}]`,
    `mirrors = [${quoted(authority)}]`,
    '',
  ]);
  const own = [...(isTls ? [] : ['http = true']), ...(ca === undefined ? [] : [`ca = [${quoted(ca.path)}]`])];
  return [...mirrors, ...(own.length === 0 ? [] : [`[registry.${quoted(authority)}]`, ...own, ''])].join('\n');
}

export const buildkit: ClientSetup = {
  name: 'buildkit',
  aliases: ['buildkitd', 'buildx'],
  summary: 'mirrors in buildkitd.toml',
  generate: (request) => ({
    files: [ownFile(path, 'buildkit', buildkitdToml(request))],
    commands: [
      'systemctl restart buildkit',
      `docker buildx create --use --buildkitd-config ${path} # with buildx, instead`,
    ],
    notes: [...loopbackNotes(request.listener, 'A builder in a container'), ...nameNotes(request)],
  }),
};
