/** Helm and oras have no mirror setting: weir and the upstream go in front of the name. */
import { type ClientSetup, type Listener, segmentOf, type SetupUpstream } from '../contract/client-setup.ts';

/** Flags of Helm (pkg/cmd) and oras (cmd/oras/internal/option) alike. */
function transport({ isTls, ca }: Listener): string {
  if (!isTls) return ' --plain-http';
  return ca === undefined ? '' : ` --ca-file ${ca.path}`;
}

/** What stays the same when names differ. */
function prefixes(authority: string, upstreams: readonly SetupUpstream[]): readonly string[] {
  return upstreams.map((upstream) => `${upstream.key}/NAME is ${authority}/${segmentOf(upstream)}/NAME`);
}

function preferred(upstreams: readonly SetupUpstream[], key: string): readonly SetupUpstream[] {
  const found = upstreams.filter((upstream) => upstream.key === key);
  return found.length > 0 ? found : upstreams.slice(0, 1);
}

export const helm: ClientSetup = {
  name: 'helm',
  aliases: [],
  summary: 'nothing to write: weir goes into the path',
  generate: ({ listener, upstreams }) => ({
    files: [],
    commands: preferred(upstreams, 'ghcr.io').map(
      (one) =>
        `helm pull oci://${listener.authority}/${segmentOf(one)}/ORG/CHART --version VERSION${transport(listener)}`,
    ),
    notes: [
      'Helm has no mirror setting; the same goes for helm install, helm show and repository: in Chart.yaml.',
      ...prefixes(listener.authority, upstreams),
    ],
  }),
};

export const oras: ClientSetup = {
  name: 'oras',
  aliases: [],
  summary: 'nothing to write: weir goes into the path',
  generate: ({ listener, upstreams }) => ({
    files: [],
    commands: preferred(upstreams, 'ghcr.io').map(
      (one) => `oras pull${transport(listener)} ${listener.authority}/${segmentOf(one)}/ORG/ARTIFACT:TAG`,
    ),
    notes: ['oras has no mirror setting.', ...prefixes(listener.authority, upstreams)],
  }),
};
