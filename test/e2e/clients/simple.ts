/** Clients that start, pull into a directory and end: crane, skopeo, helm, oras-go and the oras CLI. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Artifact } from '../content/seed.ts';
import { cleanEnvironment, run } from '../process.ts';
import type { ProgramName } from '../programs.ts';
import { needed } from '../tools.ts';
import {
  hashBlobs,
  hashFile,
  referenceOf,
  type By,
  type Client,
  type Pulled,
  type Session,
  type Site,
} from './client.ts';

type PullInto = (site: Site, directory: string, artifact: Artifact, by: By) => Promise<Pulled>;

/** A session whose every pull gets a new directory, removed as soon as it has been looked at. */
export function eachInItsOwnDirectory(site: Site, name: string, pull: PullInto): Session {
  return {
    pull: async (artifact, by) => {
      const directory = site.workspace.directory(name);
      try {
        return await pull(site, directory, artifact, by);
      } finally {
        site.workspace.remove(directory);
      }
    },
    close: async () => {},
  };
}

export function client(name: string, program: ProgramName, kinds: Client['kinds'], pull: PullInto): Client {
  return {
    name,
    programs: [program],
    kinds,
    platforms: 'all',
    open: async (site) => eachInItsOwnDirectory(site, name, pull),
  };
}

/** Path addressing: weir's own name, then the upstream's. */
export const throughPath = ({ weir, upstream }: Site, artifact: Artifact, by: By): string =>
  `${weir}/${upstream.name}/${referenceOf(artifact, by)}`;

/** Time for 1 GiB on a slow and busy machine. */
const timeoutMs = 300_000;

export async function readLayout(directory: string): Promise<Pulled> {
  const index = JSON.parse(readFileSync(join(directory, 'index.json'), 'utf8')) as {
    readonly manifests: readonly { readonly digest: string }[];
  };
  const blobs = await hashBlobs(join(directory, 'blobs', 'sha256'));
  return { digests: index.manifests.map(({ digest }) => digest), blobs };
}

export const crane = client(
  'crane',
  'crane',
  ['image', 'index', 'artifact', 'large'],
  async (site, directory, artifact, by) => {
    const target = join(directory, 'layout');
    await run(site.tools.crane, ['pull', '--format=oci', throughPath(site, artifact, by), target], { timeoutMs });
    return readLayout(target);
  },
);

/** Mirror addressing: the image keeps the upstream's name, which no resolver knows, so it leads nowhere but to weir. */
export function registriesConf({ settings }: Site): string {
  return join(settings, 'etc', 'containers', 'registries.conf.d', 'weir.conf');
}

const skopeoPull = client(
  'skopeo',
  'skopeo',
  ['image', 'index', 'artifact', 'large'],
  async (site, directory, artifact, by) => {
    const target = join(directory, 'pulled');
    const from = `docker://${site.upstream.name}/${referenceOf(artifact, by)}`;
    const global = ['--insecure-policy', '--registries-conf', registriesConf(site)];
    const args = [...global, 'copy', '--all', '--preserve-digests', from, `dir:${target}`];
    await run(site.tools.skopeo, args, { timeoutMs });
    return { digests: [await hashFile(join(target, 'manifest.json'))], blobs: await hashBlobs(target) };
  },
);
export const skopeo: Client = { ...skopeoPull, setup: 'podman' };

const pullChart =
  (program: 'helm' | 'helm4'): PullInto =>
  async (site, directory, artifact, by) => {
    const env = cleanEnvironment({
      HELM_CACHE_HOME: join(directory, 'cache'),
      HELM_CONFIG_HOME: join(directory, 'config'),
      HELM_DATA_HOME: join(directory, 'data'),
    });
    const name = `oci://${site.weir}/${site.upstream.name}/${artifact.repository}`;
    const what = by === 'tag' ? [name, '--version', artifact.tag] : [`${name}@${artifact.direct.root}`];
    const { stdout, stderr } = await run(
      needed(site.tools, program),
      ['pull', ...what, '--plain-http', '-d', directory],
      { env },
    );
    const digests = [...`${stdout}${stderr}`.matchAll(/sha256:[0-9a-f]{64}/g)].map(([digest]) => digest);
    const charts = readdirSync(directory).filter((file) => file.endsWith('.tgz'));
    return { digests, blobs: await Promise.all(charts.map((file) => hashFile(join(directory, file)))) };
  };

/** Helm keeps the chart alone, without its configuration. */
export const helm: Client = { ...client('helm', 'helm', ['chart'], pullChart('helm')), keeps: 'last blob' };
export const helm4: Client = {
  ...client('helm4', 'helm4', ['chart'], pullChart('helm4')),
  keeps: 'last blob',
  upstreams: ['dist3.test', 'crane.test'],
};

const everyKind = ['image', 'index', 'chart', 'artifact', 'large'] as const;

export const orasGo = client('oras-go', 'orasClient', everyKind, async (site, directory, artifact, by) => {
  const { stdout } = await run(site.tools.orasClient, ['pull', throughPath(site, artifact, by), directory], {
    timeoutMs,
  });
  const { digest } = JSON.parse(stdout) as { readonly digest: string };
  return { ...(await readLayout(directory)), digests: [digest] };
});

/** The oras CLI, for machines that have it. */
export const orasCli = client('oras CLI', 'oras', everyKind, async (site, directory, artifact, by) => {
  const target = `${directory}:${artifact.tag}`;
  const args = ['copy', '--from-plain-http', throughPath(site, artifact, by), '--to-oci-layout', target];
  await run(needed(site.tools, 'oras'), args, { timeoutMs });
  return readLayout(directory);
});
