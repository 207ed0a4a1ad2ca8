/**
 * containerd's hosts.toml (containerd docs/hosts.md): `_default` holds for every registry, and `ns` in the query tells
 * weir which one is meant.
 */
import {
  type ClientSetup,
  type Listener,
  nameNotes,
  ownFile,
  quoted,
  registriesOrRefuse,
  type SetupFile,
  type SetupRequest,
} from '../contract/client-setup.ts';

export const certsDirectory = '/etc/containerd/certs.d';

export function hostsToml({ origin, ca }: Listener): string {
  return [
    '# To allow no way around weir, make this the first setting:',
    `# server = ${quoted(origin)}`,
    `[host.${quoted(origin)}]`,
    'capabilities = ["pull", "resolve"]',
    ...(ca === undefined ? [] : [`ca = ${quoted(ca.path)}`]),
    '',
  ].join('\n');
}

/** One for all registries, or for the one that was asked for. */
export function hostsFiles(request: SetupRequest, client: string): readonly SetupFile[] {
  const names = request.isLimited ? registriesOrRefuse(request).map(({ key }) => key) : ['_default'];
  return names.map((name) => ownFile(`${certsDirectory}/${name}/hosts.toml`, client, hostsToml(request.listener)));
}

/** Version 2 is read by containerd 1.3 and newer; 2.x turns it into its own version 3 (docs/containerd-2.0.md). */
const configToml = `version = 2
[plugins."io.containerd.grpc.v1.cri".registry] # in a version 3 file: "io.containerd.cri.v1.images"
config_path = ${quoted(certsDirectory)}
`;

export const containerd: ClientSetup = {
  name: 'containerd',
  aliases: ['nerdctl'],
  summary: 'hosts.toml for every registry; read anew at each pull',
  generate: (request) => ({
    files: [
      ...hostsFiles(request, 'containerd'),
      {
        path: '/etc/containerd/config.toml',
        content: {
          kind: 'part',
          text: configToml,
          isThere: /^[ \t]*config_path[ \t]*=[ \t]*["'](?:[^"'\n]*:)?\/etc\/containerd\/certs\.d\/?["':]/m,
        },
      },
    ],
    commands: [`ctr images pull --hosts-dir ${certsDirectory} docker.io/library/alpine:3.20`],
    notes: [
      'After a change of config.toml: systemctl restart containerd. A change of hosts.toml needs no restart.',
      ...nameNotes(request),
    ],
  }),
};
