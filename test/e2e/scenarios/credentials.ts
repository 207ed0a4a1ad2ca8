/**
 * Credentials that are meant for somebody else: a kubelet hands a pod's pull secret to the mirror as well. weir takes
 * the request without asking who it is, and no upstream ever sees them.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Buildah, mirrorsOf } from '../clients/buildah.ts';
import { hashFile } from '../clients/client.ts';
import { Cri, criPrograms } from '../clients/cri.ts';
import { Podman } from '../clients/podman.ts';
import type { ProgramName } from '../programs.ts';
import { run } from '../process.ts';
import { CheckError } from '../report.ts';
import type { Scenario } from '../scenarios.ts';
import type { Seeded, Stage } from '../stage.ts';
import { Tap } from '../tap.ts';
import { titleOf } from './matrix.ts';
import { playPhases } from './phases.ts';

const user = 'somebody:not-for-you';
const basic = `Basic ${Buffer.from(user).toString('base64')}`;
const image = 'docker.io/library/shell:1';

interface Puller {
  readonly name: string;
  /** The first one's version is shown. */
  readonly programs: readonly [ProgramName, ...ProgramName[]];
  /** Whether it sends them without being asked; the others wait for a challenge, which weir never sends. */
  readonly isForward: boolean;
  /** Pulls `image` from empty storage by weir's `host:port`; answers the digests that it knows it by. */
  readonly pull: (stage: Stage, weir: string, directory: string) => Promise<readonly string[]>;
}

function criPuller(name: string, shown: 'crictl' | 'containerd2', isForward: boolean): Puller {
  return {
    name,
    programs: [shown, ...criPrograms],
    isForward,
    pull: async ({ tools, workspace }, weir) => {
      // hosts.toml can have any header sent with each request, unasked.
      const headers = isForward ? { Authorization: basic } : {};
      const runtime = await Cri.open({ tools, workspace, weir, headers });
      try {
        return (await runtime.pull(image, ['--creds', user])).digests;
      } finally {
        await runtime.close();
      }
    },
  };
}

const pullers: readonly Puller[] = [
  criPuller('crictl --creds', 'crictl', false),
  criPuller('containerd with a header in hosts.toml', 'containerd2', true),
  {
    name: 'podman --creds',
    programs: ['podman'],
    isForward: false,
    pull: async ({ tools }, weir, directory) => {
      const podman = new Podman(tools, directory, mirrorsOf(weir, ['docker.io']));
      await podman.command(['pull', '--quiet', '--creds', user, image]);
      const names = await podman.command(['image', 'inspect', '--format', '{{json .RepoDigests}}', image]);
      return (JSON.parse(names) as readonly string[]).map((one) => one.split('@')[1] ?? one);
    },
  },
  {
    name: 'buildah --creds',
    programs: ['buildah'],
    isForward: false,
    pull: async ({ tools }, weir, directory) => {
      const tool = new Buildah(tools, directory, mirrorsOf(weir, ['docker.io']));
      await tool.command(['from', '--creds', user, image]);
      return [await tool.command(['inspect', '--type', 'image', '--format', '{{.FromImageDigest}}', image])];
    },
  },
  {
    name: 'skopeo with an auth file',
    programs: ['skopeo'],
    isForward: false,
    pull: async ({ tools }, weir, directory) => {
      const [config, auth] = [join(directory, 'registries.conf'), join(directory, 'auth.json')];
      writeFileSync(config, mirrorsOf(weir, ['docker.io']));
      const entry = { auth: basic.slice('Basic '.length) };
      writeFileSync(auth, JSON.stringify({ auths: { [weir]: entry, 'docker.io': entry } }));
      const target = join(directory, 'pulled');
      const args = ['copy', '--preserve-digests', '--authfile', auth, `docker://${image}`, `dir:${target}`];
      await run(tools.skopeo, ['--insecure-policy', '--registries-conf', config, ...args]);
      return [await hashFile(join(target, 'manifest.json'))];
    },
  },
];

const rowOf = (puller: Puller, versions: ReadonlyMap<string, string>, upstream: string): string =>
  `credentials of somebody else, ${titleOf(puller, versions)} @ ${upstream}`;

const authorizations = (sent: string): number => (sent.match(/^authorization:/gim) ?? []).length;

async function play(stage: Stage, puller: Puller, seeded: Seeded): Promise<void> {
  const { upstream, artifacts } = seeded;
  const root = artifacts.find(({ name }) => name === 'shell')?.direct.root ?? '';
  // What weir sends to the upstream, every byte of it.
  const behind = await Tap.start(upstream.port);
  try {
    await playPhases(stage, {
      row: rowOf(puller, stage.versions, upstream.name),
      seeded,
      dockerHub: { name: upstream.name, host: behind.host, ttl: upstream.ttl },
      act: async (weir, phase) => {
        const front = await Tap.start(weir.port);
        const directory = stage.workspace.directory('credentials');
        try {
          const digests = await puller.pull(stage, front.host, directory);
          if (!digests.includes(root)) throw new CheckError(`${digests.join()} instead of ${root}`);
          const sent = authorizations(front.sent);
          if (sent > 0 !== puller.isForward) throw new CheckError(`the client sent them ${sent} times`);
          if (phase === 'cold' && !behind.sent.includes('/v2/library/shell/manifests/')) {
            throw new CheckError('weir did not ask the upstream where it was listened to');
          }
          if (authorizations(behind.sent) > 0) throw new CheckError('weir forwarded them');
          return `sent to weir ${sent} times, forwarded never`;
        } finally {
          await front.close();
          stage.workspace.remove(directory);
        }
      },
    });
  } finally {
    await behind.close();
  }
}

/** `find` looks up an upstream by name. */
export function credentialScenarios(find: (stage: Stage, name: string) => Seeded): readonly Scenario[] {
  const upstream = 'dist2.test';
  return pullers.map((puller) => ({
    name: `credentials: ${puller.name}`,
    rows: (versions) => [rowOf(puller, versions, upstream)],
    programs: puller.programs,
    play: (stage) => play(stage, puller, find(stage, upstream)),
  }));
}
