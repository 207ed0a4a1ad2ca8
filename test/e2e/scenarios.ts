/** What the suite plays: every client against every upstream, and what is more than a pull. */
import { artifactTools } from './artifacts/all.ts';
import { orasPython } from './artifacts/oras.ts';
import { regctl } from './artifacts/regctl.ts';
import type { Client } from './clients/client.ts';
import { containerds } from './clients/containerd.ts';
import { dockerd } from './clients/docker.ts';
import { podman } from './clients/podman.ts';
import { referrers } from './clients/referrers.ts';
import { crane, helm, helm4, orasCli, orasGo, skopeo } from './clients/simple.ts';
import type { ProgramName } from './programs.ts';
import { playConformance } from './scenarios/conformance.ts';
import { playCopy } from './scenarios/copy.ts';
import { playModelcar, playScene, playWhisper, sceneRows } from './scenarios/data.ts';
import { playImage } from './scenarios/image.ts';
import { playLayout } from './scenarios/layout.ts';
import { playLimited } from './scenarios/limited.ts';
import { lazyRow, playLazy } from './scenarios/lazy.ts';
import { playMatrix, titleOf } from './scenarios/matrix.ts';
import { parallelRow, playParallel } from './scenarios/parallel.ts';
import { partialRow, playPartial } from './scenarios/partial.ts';
import { playModelRunner, playModelTool, runnerRow, toolRow } from './scenarios/model-runner.ts';
import { partsRow, playOllama, playOllamaTensors, tensorsRow } from './scenarios/ollama.ts';
import { runtimes, runtimeScenarios } from './scenarios/runtimes.ts';
import { setupScenarios } from './scenarios/setup.ts';
import type { Seeded, Stage } from './stage.ts';
import { upstreamNames } from './upstreams.ts';

export interface Scenario {
  readonly name: string;
  /** Rows of the matrix that it fills; its name when absent. */
  readonly rows?: (versions: ReadonlyMap<string, string>) => readonly string[];
  readonly needsLarge?: boolean;
  /** Without one of these it is not played, and the matrix says why. */
  readonly programs?: readonly ProgramName[];
  readonly play: (stage: Stage) => Promise<void>;
}

const clients: readonly Client[] = [
  crane,
  skopeo,
  podman,
  helm,
  helm4,
  orasGo,
  orasPython,
  regctl,
  referrers,
  ...containerds,
  dockerd,
  orasCli,
  ...runtimes,
];

/** The upstream that also holds the large file. */
export const largeUpstream = 'dist3.test';

function seededAs({ seeded }: Stage, name: string): Seeded {
  const found = seeded.find(({ upstream }) => upstream.name === name);
  if (found === undefined) throw new Error(`no upstream ${name}`);
  return found;
}

const matrix: readonly Scenario[] = clients.flatMap((client) =>
  upstreamNames()
    .filter((name) => client.upstreams === undefined || client.upstreams.includes(name))
    .map((name) => ({
      name: `${client.name} @ ${name}`,
      rows: (versions: ReadonlyMap<string, string>) => [`${titleOf(client, versions)} @ ${name}`],
      needsLarge: name === largeUpstream && client.kinds.includes('large'),
      programs: client.programs,
      play: (stage: Stage) => playMatrix(stage, client, seededAs(stage, name)),
    })),
);

const others: readonly Scenario[] = [
  {
    name: 'lazy',
    rows: (versions) => [lazyRow(versions, 'dist3.test')],
    play: (stage) => playLazy(stage, seededAs(stage, 'dist3.test')),
  },
  {
    name: 'parallel',
    rows: (versions) => [parallelRow(versions, 'dist3.test')],
    programs: ['containerd2', 'ctr2', 'runc'],
    play: (stage) => playParallel(stage, seededAs(stage, 'dist3.test')),
  },
  {
    name: 'partial',
    rows: (versions) => [partialRow(versions, 'dist3.test')],
    programs: ['podman', 'runc'],
    play: (stage) => playPartial(stage, seededAs(stage, 'dist3.test')),
  },
  { name: 'copy', play: (stage) => playCopy(stage, seededAs(stage, 'referrers.test'), seededAs(stage, 'dist3.test')) },
  { name: 'layout', play: (stage) => playLayout(stage, seededAs(stage, 'dist3.test')) },
  {
    name: 'limited',
    programs: ['skopeo'],
    play: (stage) => playLimited(stage, seededAs(stage, 'dist3.test')),
  },
  { name: 'image', play: (stage) => playImage(stage, seededAs(stage, 'dist2.test')) },
];

const models: readonly Scenario[] = [
  {
    name: 'ollama parts',
    rows: (versions) => [partsRow(versions)],
    programs: ['ollama'],
    play: (stage) => playOllama(stage, seededAs(stage, 'dist3.test')),
  },
  {
    name: 'ollama tensors',
    rows: (versions) => [tensorsRow(versions)],
    programs: ['ollama'],
    play: (stage) => playOllamaTensors(stage, seededAs(stage, 'dist3.test')),
  },
  {
    name: 'model-runner mdltool',
    rows: (versions) => [toolRow(versions)],
    programs: ['mdltool'],
    play: (stage) => playModelTool(stage, seededAs(stage, 'dist3.test')),
  },
  {
    name: 'model-runner dmr',
    rows: (versions) => [runnerRow(versions)],
    programs: ['mdltool', 'dmr'],
    play: (stage) => playModelRunner(stage, seededAs(stage, 'dist3.test')),
  },
  { name: 'modelcar', play: (stage) => playModelcar(stage, seededAs(stage, 'dist3.test')) },
  { name: 'whisper', play: (stage) => playWhisper(stage, seededAs(stage, 'dist3.test')) },
  {
    name: 'scene',
    rows: sceneRows,
    programs: ['rasterio'],
    play: (stage) => playScene(stage, seededAs(stage, 'dist3.test')),
  },
];

/** The specification's own suite, where the referrers API is and where it is not. */
const conformance: readonly Scenario[] = [
  { name: 'dist3.test', hasReferrers: false },
  { name: 'referrers.test', hasReferrers: true },
].map(({ name, hasReferrers }) => ({
  name: `conformance @ ${name}`,
  play: (stage) => playConformance(stage, seededAs(stage, name), hasReferrers),
}));

export const scenarios: readonly Scenario[] = [
  ...matrix,
  ...artifactTools,
  ...runtimeScenarios(seededAs),
  ...conformance,
  ...others,
  ...setupScenarios(seededAs),
  ...models,
];
