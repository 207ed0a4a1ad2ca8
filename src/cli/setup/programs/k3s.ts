/** registries.yaml of k3s and RKE2, which make containerd's hosts.toml of it (docs.k3s.io/installation/private-registry). */
import {
  type ClientSetup,
  nameNotes,
  ownFile,
  quoted,
  registriesOrRefuse,
  type SetupRequest,
} from '../contract/client-setup.ts';

function registriesYaml(request: SetupRequest): string {
  const { origin, authority, ca } = request.listener;
  const names = request.isLimited ? registriesOrRefuse(request).map(({ key }) => key) : ['*'];
  return [
    'mirrors:',
    ...names.flatMap((name) => [`  ${quoted(name)}:`, '    endpoint:', `      - ${quoted(origin)}`]),
    ...(ca === undefined
      ? []
      : ['configs:', `  ${quoted(authority)}:`, '    tls:', `      ca_file: ${quoted(ca.path)}`]),
    '',
  ].join('\n');
}

function distribution(name: 'k3s' | 'rke2', services: readonly [string, string]): ClientSetup {
  return {
    name,
    aliases: [],
    summary: 'a mirror for every registry; restart it afterwards',
    generate: (request) => ({
      files: [ownFile(`/etc/rancher/${name}/registries.yaml`, name, registriesYaml(request))],
      commands: [`systemctl restart ${services[0]} # on agents: ${services[1]}`],
      notes: [
        'On every node. To allow no way around weir, start it with --disable-default-registry-endpoint.',
        ...nameNotes(request),
      ],
    }),
  };
}

export const k3s = distribution('k3s', ['k3s', 'k3s-agent']);
export const rke2 = distribution('rke2', ['rke2-server', 'rke2-agent']);
