/** Every client that `weir setup` knows. */
import { buildkit } from './buildkit.ts';
import { helm, oras } from './by-path.ts';
import type { ClientSetup } from '../contract/client-setup.ts';
import { containerd } from './containerd.ts';
import { docker } from './docker.ts';
import { homebrew } from './homebrew.ts';
import { k3s, rke2 } from './k3s.ts';
import { kaniko } from './kaniko.ts';
import { kind } from './kind.ts';
import { ollama } from './ollama.ts';
import { crio, podman } from './registries-conf.ts';

export const clients: readonly ClientSetup[] = [
  containerd,
  docker,
  podman,
  crio,
  k3s,
  rke2,
  kind,
  buildkit,
  helm,
  oras,
  homebrew,
  kaniko,
  ollama,
];

/** By its name or that of another program with the same files, in any case. */
export function findClient(name: string): ClientSetup | undefined {
  const wanted = name.toLowerCase();
  return clients.find((client) => client.name === wanted || client.aliases.includes(wanted));
}
