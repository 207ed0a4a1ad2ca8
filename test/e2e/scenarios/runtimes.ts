/** Runtimes and builders beyond a pull by name: what the suite plays of them. */
import { buildah } from '../clients/buildah.ts';
import { buildkit } from '../clients/buildkit.ts';
import type { Client } from '../clients/client.ts';
import { cri } from '../clients/cri.ts';
import type { Scenario } from '../scenarios.ts';
import type { Seeded, Stage } from '../stage.ts';
import { credentialScenarios } from './credentials.ts';
import { lineScenarios } from './lines.ts';
import { volumeScenarios } from './volumes.ts';

export const runtimes: readonly Client[] = [cri, buildah, buildkit];

/** `find` looks up an upstream by name. */
export function runtimeScenarios(find: (stage: Stage, name: string) => Seeded): readonly Scenario[] {
  return [...volumeScenarios(find), ...lineScenarios(find), ...credentialScenarios(find)];
}
