/**
 * What `weir setup` prints, given to the programs that it is for. The matrix plays containerd, dockerd, Podman and skopeo
 * with nothing else; here are the others, Docker Hub's names, and what `weir doctor` says of it all.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { buildkitPrograms, openBuildkit } from '../clients/buildkit.ts';
import type { Client, Site } from '../clients/client.ts';
import { containerds } from '../clients/containerd.ts';
import { pullByOllama } from '../clients/ollama-pull.ts';
import { cleanEnvironment, run } from '../process.ts';
import { CheckError } from '../report.ts';
import type { Scenario } from '../scenarios.ts';
import { withWeir, type Seeded, type Stage } from '../stage.ts';
import { titleOf } from './matrix.ts';
import { needed } from '../tools.ts';
import { playPhases } from './phases.ts';
import { argumentsOf, artifactOf, printed } from './setup-support.ts';
import { playTls } from './setup-tls.ts';

/** Docker Hub's names through `_default/hosts.toml`, where `ns` says docker.io. */
async function playHubNames(stage: Stage, seeded: Seeded, client: Client): Promise<void> {
  const { tools, workspace } = stage;
  const row = `setup: ${titleOf(client, stage.versions)}, docker.io @ ${seeded.upstream.name}`;
  const artifact = artifactOf(seeded, 'busybox');
  const settings = workspace.directory('settings');
  await playPhases(stage, {
    row,
    seeded,
    act: async (weir) => {
      await weir.setUp('containerd', settings);
      const upstream = { name: 'docker.io', host: seeded.upstream.host };
      const session = await client.open({ tools, workspace, weir: weir.host, upstream, settings });
      try {
        const pulled = await session.pull(artifact, 'tag');
        if (!pulled.digests.includes(artifact.direct.root)) throw new CheckError(`got ${pulled.digests.join(' ')}`);
        if (pulled.said !== artifact.says) throw new CheckError(`it said ${pulled.said}`);
      } finally {
        await session.close();
      }
    },
  });
}

async function playBuildkit(stage: Stage, seeded: Seeded): Promise<void> {
  const { tools, workspace, versions } = stage;
  const artifact = artifactOf(seeded, 'shell');
  for (const name of [seeded.upstream.name, 'docker.io']) {
    const settings = workspace.directory('settings');
    await playPhases(stage, {
      row: `setup: BuildKit ${versions.get('buildkitd') ?? ''}, ${name} @ ${seeded.upstream.name}`,
      seeded,
      act: async (weir) => {
        await weir.setUp('buildkit', settings);
        const site: Site = {
          tools,
          workspace,
          weir: weir.host,
          upstream: { name, host: seeded.upstream.host },
          settings,
        };
        const session = await openBuildkit(site);
        try {
          const { blobs = [], said } = await session.pull(artifact, 'tag');
          const { root, amd64 } = artifact.direct;
          const absent = [root, ...amd64].filter((digest) => !blobs.includes(digest));
          if (absent.length > 0) throw new CheckError(`not in the build: ${absent.join(' ')}`);
          if (said !== artifact.says) throw new CheckError(`the build printed ${said}, not ${artifact.says}`);
        } finally {
          await session.close();
        }
      },
    });
  }
}

/** The printed command line of Helm, with names put in; what it pulls is the chart. */
async function playHelm(stage: Stage, seeded: Seeded): Promise<void> {
  const { tools, workspace, versions } = stage;
  const { repository, tag, direct } = artifactOf(seeded, 'chart');
  await playPhases(stage, {
    row: `setup: Helm ${versions.get('helm') ?? ''} @ ${seeded.upstream.name}`,
    seeded,
    act: async (weir) => {
      const { commands } = await printed(weir, 'helm', seeded.upstream.name);
      const args = argumentsOf(commands, 'helm', { 'ORG/CHART': repository, VERSION: tag });
      const directory = workspace.directory('helm');
      const env = cleanEnvironment({
        HELM_CACHE_HOME: directory,
        HELM_CONFIG_HOME: directory,
        HELM_DATA_HOME: directory,
      });
      const { stdout, stderr } = await run(tools.helm, [...args, '-d', directory], { env });
      if (!`${stdout}${stderr}`.includes(direct.root)) throw new CheckError(`${stdout}${stderr}`);
    },
  });
}

/** The same of oras; its reference goes to our program on its library where the CLI is not there. It leaves files without titles. */
async function playOras(stage: Stage, seeded: Seeded): Promise<void> {
  const { tools, workspace, versions } = stage;
  const { repository, tag, direct } = artifactOf(seeded, 'model');
  await playPhases(stage, {
    row: `setup: oras ${versions.get(tools.oras === undefined ? 'orasClient' : 'oras') ?? ''} @ ${seeded.upstream.name}`,
    seeded,
    act: async (weir) => {
      const { commands } = await printed(weir, 'oras', seeded.upstream.name);
      const args = argumentsOf(commands, 'oras', { 'ORG/ARTIFACT': repository, TAG: tag });
      const directory = workspace.directory('oras');
      const reference = args.at(-1) ?? '';
      const how =
        tools.oras === undefined
          ? ['pull', reference, directory]
          : [...args, '--format', 'json', '--output', directory];
      const { stdout } = await run(tools.oras ?? tools.orasClient, how);
      if (!stdout.includes(direct.root)) throw new CheckError(stdout);
    },
  });
}

/** Ollama's names have room for weir's default upstream only. What it pulls need not be a model. */
async function playOllama(stage: Stage, seeded: Seeded): Promise<void> {
  const { tools, workspace, versions } = stage;
  const { repository, tag, direct } = artifactOf(seeded, 'model');
  await playPhases(stage, {
    row: `setup: Ollama ${versions.get('ollama') ?? ''} @ ${seeded.upstream.name}`,
    seeded,
    act: async (weir) => {
      const { commands } = await printed(weir, 'ollama', 'docker.io');
      const args = argumentsOf(commands, 'ollama', { 'library/MODEL': repository, TAG: tag });
      const digests = await pullByOllama(needed(tools, 'ollama'), workspace, args);
      const absent = [...direct.blobs.keys()].filter((digest) => !digests.includes(digest));
      if (absent.length > 0) throw new CheckError(`Ollama has no ${absent.join(' ')}`);
    },
  });
}

/** What containerd makes of config.toml, that a second run changes nothing, and what doctor finds. */
async function playFiles(stage: Stage, seeded: Seeded): Promise<void> {
  const { tools, workspace, report } = stage;
  await withWeir(stage, 'setup', seeded.upstream, async (weir) => {
    const root = workspace.directory('root');
    const write = (client: string): Promise<string> =>
      weir.command(['setup', client, '--write', '--yes', '--root', root]);
    for (const client of ['containerd', 'docker', 'podman', 'k3s', 'rke2', 'buildkit']) {
      await report.check(`setup: ${client} is written once, and a second time there is nothing to change`, async () => {
        const { files } = await printed(weir, client);
        const first = await write(client);
        const absent = files.filter(({ path }) => !existsSync(join(root, path)));
        if (files.length === 0 || absent.length > 0 || !/^wrote /m.test(first)) throw new CheckError(first);
        const second = await write(client);
        if (second !== 'nothing to change\n') throw new CheckError(second);
        return `${files.length} files`;
      });
    }
    for (const [name, program, plugin] of [
      ['containerd 1.6', tools.containerd1, 'io.containerd.grpc.v1.cri'],
      ['containerd 2', tools.containerd2, 'io.containerd.cri.v1.images'],
    ] as const) {
      await report.check(`setup: ${name} reads config.toml and finds config_path for its CRI`, async () => {
        const config = join(root, 'etc', 'containerd', 'config.toml');
        const { stdout } = await run(program, ['--config', config, 'config', 'dump']);
        const [, section = ''] = stdout.split(
          new RegExp(`\\[plugins\\.["']${plugin.replaceAll('.', '\\.')}["']\\.registry\\]`),
        );
        const [, path] = /^\s*config_path = ["'](.*)["']$/m.exec(section.split(/^\s*\[/m)[0] ?? '') ?? [];
        if (path !== '/etc/containerd/certs.d')
          throw new CheckError(`config_path is ${path}\n${readFileSync(config, 'utf8')}`);
      });
    }
    await report.check(
      'doctor: a running weir in front of registries that are well has nothing to repair',
      async () => {
        const lines = (await weir.command(['doctor', '--json'])).trimEnd().split('\n');
        const found = lines.map((line) => JSON.parse(line) as Readonly<Record<string, unknown>>);
        const has = (subject: string, check: string, words: string): boolean =>
          found.some(
            (one) => one['subject'] === subject && one['check'] === check && String(one['message']).includes(words),
          );
        const upstreams = stage.seeded.map(({ upstream }) => upstream);
        const isAll =
          has('listen', 'port', 'a running weir holds') &&
          has('admin.listen', 'port', 'a running weir holds') &&
          has('cache.root', 'directory', 'is a weir cache') &&
          upstreams.every(({ name }) => has(name, 'registry', 'is a registry'));
        if (!isAll) throw new CheckError(lines.join('\n'));
        return `${found.length - 1} findings`;
      },
    );
    // So that there is something in the store that it leaves behind.
    await (await fetch(`http://${weir.host}/v2/${seeded.upstream.name}/library/busybox/manifests/1`)).arrayBuffer();
    workspace.remove(root);
  });
}

/** Made late, because the list of all scenarios imports this one. */
export function setupScenarios(seededAs: (stage: Stage, name: string) => Seeded): readonly Scenario[] {
  return [
    { name: 'setup files', play: (stage) => playFiles(stage, seededAs(stage, 'dist2.test')) },
    { name: 'setup tls', play: (stage) => playTls(stage, seededAs(stage, 'dist2.test')) },
    ...containerds.map((client) => ({
      name: `setup ${client.programs[0]}`,
      programs: client.programs,
      play: (stage: Stage) => playHubNames(stage, seededAs(stage, 'dist2.test'), client),
    })),
    { name: 'setup helm', play: (stage) => playHelm(stage, seededAs(stage, 'dist2.test')) },
    { name: 'setup oras', play: (stage) => playOras(stage, seededAs(stage, 'dist2.test')) },
    {
      name: 'setup ollama',
      programs: ['ollama'],
      play: (stage) => playOllama(stage, seededAs(stage, 'dist2.test')),
    },
    {
      name: 'setup buildkit',
      programs: buildkitPrograms,
      play: (stage) => playBuildkit(stage, seededAs(stage, 'dist2.test')),
    },
  ];
}
