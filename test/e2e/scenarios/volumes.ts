/** Images as volumes: of a pod, of a podman container, and of Docker, whose exported volumes are images of data alone. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { mirrorsOf } from '../clients/buildah.ts';
import { Cri, criPrograms } from '../clients/cri.ts';
import { DockerSession } from '../clients/docker.ts';
import { Podman, smallLimits } from '../clients/podman.ts';
import { dataFile, pushData, pushPause } from '../content/data-images.ts';
import { CheckError } from '../report.ts';
import type { Scenario } from '../scenarios.ts';
import { revive, type Seeded, type Stage } from '../stage.ts';
import { onceEach } from './cost.ts';
import { playPhases } from './phases.ts';

const sizeBytes = 8 * 1024 * 1024;
const program = 'library/busybox:1';

function compare(printed: string, sha256: string): void {
  const [found = ''] = printed.split(' ');
  if (found !== sha256) throw new CheckError(`the file hashes to ${found || 'nothing'} and not to ${sha256}`);
}

type Versions = ReadonlyMap<string, string>;

const podRow = (versions: Versions, { name }: { readonly name: string }): string =>
  `Kubernetes image volume, containerd by CRI ${versions.get('containerd2')} @ ${name}`;

/**
 * Runs a container in a pod whose volume is an image, to its end, and answers what it printed. Everything the node
 * needs comes by CRI: the volume, the container's image and, from another registry, the image of the pod itself.
 * containerd 2.4 mounts only what it can unpack: of an artifact that is no image the volume is empty.
 */
async function runPod(runtime: Cri, volume: string, image: string): Promise<string> {
  for (const name of [volume, image]) await runtime.pull(name);
  const logs = join(runtime.directory, 'logs');
  const [pod, container] = [join(runtime.directory, 'pod.json'), join(runtime.directory, 'container.json')];
  // 2 is the node's own network namespace (CRI, NamespaceMode).
  const security = { namespace_options: { network: 2, pid: 1, ipc: 0 } };
  const metadata = { name: 'e2e', namespace: 'default', uid: 'e2e', attempt: 1 };
  writeFileSync(
    pod,
    JSON.stringify({
      metadata,
      log_directory: logs,
      linux: { security_context: security },
    }),
  );
  writeFileSync(
    container,
    JSON.stringify({
      metadata: { name: 'reader' },
      image: { image },
      command: ['/bin/sha256sum', `/volume/${dataFile}`],
      log_path: 'reader.log',
      mounts: [{ container_path: '/volume', image: { image: volume }, readonly: true }],
      linux: {},
    }),
  );
  const podId = await runtime.crictl(['runp', pod]);
  const id = await runtime.crictl(['create', podId, container, pod]);
  await runtime.crictl(['start', id]);
  const printed = await runtime.crictl(['logs', '--follow', id]);
  await runtime.crictl(['rmp', '--force', podId]);
  return printed;
}

async function playPod(stage: Stage, seeded: Seeded, other: Seeded): Promise<void> {
  const { upstream } = seeded;
  const { tools, workspace } = stage;
  await revive(other);
  const data = await pushData(stage, upstream, 'volumes/pod', sizeBytes);
  await pushPause(stage, other.upstream, 'library/pause');
  await playPhases(stage, {
    row: podRow(stage.versions, upstream),
    seeded,
    act: async (weir) => {
      const sandbox = `${other.upstream.name}/library/pause:1`;
      // A node of its own each time.
      const runtime = await Cri.open({ tools, workspace, weir: weir.host, sandbox });
      try {
        const printed = await runPod(runtime, `${upstream.name}/volumes/pod:1`, `${upstream.name}/${program}`);
        compare(printed, data.sha256);
      } finally {
        await runtime.close();
      }
    },
    cost: (_, requests) => onceEach(requests, [data.artifact]),
  });
}

const podmanRow = (versions: Versions, { name }: { readonly name: string }): string =>
  `image as a mount, podman ${versions.get('podman')} @ ${name}`;

async function playPodman(stage: Stage, seeded: Seeded): Promise<void> {
  const { upstream } = seeded;
  const { tools, workspace } = stage;
  const data = await pushData(stage, upstream, 'volumes/podman', sizeBytes);
  await playPhases(stage, {
    row: podmanRow(stage.versions, upstream),
    seeded,
    act: async (weir) => {
      const directory = workspace.directory('podman');
      try {
        const podman = new Podman(tools, directory, mirrorsOf(weir.host, [upstream.name]));
        const [volume, image] = [`${upstream.name}/volumes/podman:1`, `${upstream.name}/${program}`];
        await podman.command(['pull', '--quiet', volume]);
        const mount = ['--mount', `type=image,source=${volume},dst=/volume,rw=false`];
        const flags = ['run', '--rm', '--network', 'none', ...smallLimits, ...mount];
        compare(await podman.command([...flags, image, 'sha256sum', `/volume/${dataFile}`]), data.sha256);
      } finally {
        workspace.remove(directory);
      }
    },
    cost: (_, requests) => onceEach(requests, [data.artifact]),
  });
}

const dockerRow = (versions: Versions, { name }: { readonly name: string }): string =>
  `Docker volume as an image, dockerd ${versions.get('dockerd')} @ ${name}`;

/** A container that never runs fills the new volume from its image; another one reads it. */
async function playDocker(stage: Stage, seeded: Seeded): Promise<void> {
  const { upstream } = seeded;
  const { tools, workspace } = stage;
  const data = await pushData(stage, upstream, 'volumes/docker', sizeBytes);
  await playPhases(stage, {
    row: dockerRow(stage.versions, upstream),
    seeded,
    act: async (weir) => {
      const settings = workspace.directory('settings');
      await weir.setUp('docker', settings);
      const docker = await DockerSession.open({ tools, workspace, weir: weir.host, upstream, settings });
      try {
        await docker.command(['pull', '--quiet', 'volumes/docker:1']);
        await docker.command(['create', '--name', 'filler', '--volume', 'restored:/data', 'volumes/docker:1', '/none']);
        const flags = ['--rm', '--network', 'none', '--volume', 'restored:/volume/data:ro'];
        compare(await docker.command(['run', ...flags, program, 'sha256sum', `/volume/${dataFile}`]), data.sha256);
      } finally {
        await docker.close();
      }
    },
    cost: (_, requests) => onceEach(requests, [data.artifact]),
  });
}

/** `find` looks up an upstream by name. */
export function volumeScenarios(find: (stage: Stage, name: string) => Seeded): readonly Scenario[] {
  const [one, two] = ['dist3.test', 'dist2.test'] as const;
  return [
    {
      name: 'volumes of a pod',
      rows: (versions) => [podRow(versions, { name: one })],
      programs: criPrograms,
      play: (stage) => playPod(stage, find(stage, one), find(stage, two)),
    },
    {
      name: 'volumes of podman',
      rows: (versions) => [podmanRow(versions, { name: one })],
      programs: ['podman', 'runc'],
      play: (stage) => playPodman(stage, find(stage, one)),
    },
    {
      name: 'volumes of Docker',
      rows: (versions) => [dockerRow(versions, { name: two })],
      programs: ['dockerd', 'docker'],
      play: (stage) => playDocker(stage, find(stage, two)),
    },
  ];
}
