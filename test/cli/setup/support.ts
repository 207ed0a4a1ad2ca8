/** Setups as a test asks for them: weir at weir.example:5000, in front of two registries and a lab. */
import type {
  Content,
  Listener,
  Setup,
  SetupRequest,
  SetupUpstream,
} from '../../../src/cli/setup/contract/client-setup.ts';
import { findClient } from '../../../src/cli/setup/programs/programs.ts';

export const plain: Listener = {
  origin: 'http://weir.example:5000',
  authority: 'weir.example:5000',
  isTls: false,
  isLoopback: false,
  ca: undefined,
};
export const secured: Listener = {
  origin: 'https://weir.example',
  authority: 'weir.example',
  isTls: true,
  isLoopback: false,
  ca: { path: '/etc/ssl/weir.pem', pem: '-----BEGIN CERTIFICATE-----\nMII=\n-----END CERTIFICATE-----\n' },
};
export const local: Listener = {
  ...plain,
  origin: 'http://127.0.0.1:5000',
  authority: '127.0.0.1:5000',
  isLoopback: true,
};

export const hub: SetupUpstream = { key: 'docker.io', isDefault: true, hosts: [], isHub: true };
export const ghcr: SetupUpstream = { key: 'ghcr.io', isDefault: false, hosts: [], isHub: false };
export const port: SetupUpstream = { key: 'registry.example:5001', isDefault: false, hosts: [], isHub: false };
export const lab: SetupUpstream = { key: 'lab', isDefault: false, hosts: [], isHub: false };

export function setupOf(client: string, request: Partial<SetupRequest> = {}): Setup {
  const found = findClient(client);
  if (found === undefined) throw new Error(`no client ${client}`);
  return found.generate({ listener: plain, upstreams: [hub, ghcr, port, lab], isLimited: false, ...request });
}

/** The content that a path gets. */
export function contentOf({ files }: Setup, path: string): Content {
  const found = files.find((file) => file.path === path);
  if (found === undefined) throw new Error(`no ${path} among ${files.map((file) => file.path).join(', ')}`);
  return found.content;
}

/** The text of a file that is weir's own, without comments and empty lines. */
export function linesOf(setup: Setup, path: string): readonly string[] {
  const content = contentOf(setup, path);
  if (content.kind !== 'own') throw new Error(`${path} is not weir's own`);
  return bare(content.text);
}

export function bare(text: string): readonly string[] {
  return text
    .split('\n')
    .map((line) => line.replace(/ +# .*$/, ''))
    .filter((line) => line !== '' && !line.startsWith('#'));
}
