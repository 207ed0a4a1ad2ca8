/** regctl: weir as a mirror with a path prefix, artifacts that refer to an image, copies with referrers. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { eachInItsOwnDirectory, readLayout } from '../clients/simple.ts';
import { hashBlobs, hashFile, referenceOf, type Client, type Site } from '../clients/client.ts';
import { sbomType, signatureType } from '../content/seed.ts';
import { run } from '../process.ts';
import { expectSame, homeIn, runInto, type Tool } from './tool.ts';

/** How regctl is told that weir is the mirror of an upstream, whose own name does not resolve. */
type Addressing =
  /** The mirror is asked for the upstream by `ns`, which regctl sends to every mirror. */
  | 'ns'
  /** The mirror has the upstream's name as the prefix of its paths. */
  | 'prefix'
  /** There is no mirror: names begin with weir's own. */
  | 'path';

function configure(directory: string, weir: string, upstream: string, addressing: Addressing): NodeJS.ProcessEnv {
  const file = join(directory, `regctl-${addressing}.json`);
  const hosts = {
    ...(addressing === 'path' ? {} : { [upstream]: { tls: 'disabled', mirrors: [weir] } }),
    [weir]: { tls: 'disabled', ...(addressing === 'prefix' ? { pathPrefix: upstream } : {}) },
  };
  writeFileSync(file, JSON.stringify({ hosts }));
  return homeIn(directory, { REGCTL_CONFIG: file });
}

export const regctl: Client = {
  name: 'regctl',
  programs: ['regctl'],
  upstreams: ['dist3.test', 'crane.test'],
  kinds: ['image', 'index', 'chart', 'artifact'],
  platforms: 'all',
  open: async (site: Site) =>
    eachInItsOwnDirectory(site, 'regctl', async ({ tools, weir, upstream }, directory, artifact, by) => {
      const env = configure(directory, weir, upstream.name, 'ns');
      const layout = join(directory, 'layout');
      const from = `${upstream.name}/${referenceOf(artifact, by)}`;
      await run(tools.regctl, ['image', 'copy', from, `ocidir://${layout}:1`], { env });
      return readLayout(layout);
    }),
};

export const regctlCommands: Tool = {
  name: 'regctl commands',
  programs: ['regctl'],
  upstreams: ['dist3.test', 'referrers.test'],
  prepare: async ({ seeded, upstream, directory, path }) => {
    const model = seeded.artifacts.find(({ name }) => name === 'model');
    if (model === undefined) throw new Error('the content has no model');
    const { repository, tag, direct } = model;
    const [, layer = ''] = direct.amd64;
    const listed = async (env: NodeJS.ProcessEnv, reference: string): Promise<readonly string[]> => {
      const args = ['artifact', 'list', reference, '--format', '{{json .}}'];
      const { stdout } = await run(path('regctl'), args, { env });
      const { descriptors } = JSON.parse(stdout) as { readonly descriptors: readonly { readonly digest: string }[] };
      return descriptors.map(({ digest }) => digest).toSorted();
    };
    const original = `${upstream.host}/${repository}:${tag}`;
    const plain = ['--host', `reg=${upstream.host},tls=disabled`];
    const contents = new Map<string, string>();
    for (const type of [sbomType, signatureType]) {
      const args = [...plain, 'artifact', 'get', '--filter-artifact-type', type, '--subject', original];
      contents.set(type, (await run(path('regctl'), args, { env: homeIn(directory) })).stdout.trim());
    }
    return async ({ weir, base, directory: own, knowsLeaves }) => {
      const env = configure(own, weir.host, upstream.name, 'prefix');
      const call = async (...args: readonly string[]): Promise<string> =>
        (await run(path('regctl'), args, { env })).stdout.trim();
      const name = `${upstream.name}/${repository}`;
      const image = `${name}:${tag}`;
      expectSame('regctl tag ls', (await call('tag', 'ls', name)).split('\n').includes(tag), true);
      expectSame('regctl image digest', await call('image', 'digest', image), direct.root);
      const manifest = join(own, 'manifest.json');
      await runInto(manifest, path('regctl'), ['manifest', 'get', '--format', 'raw-body', image], env);
      expectSame('regctl manifest get', await hashFile(manifest), direct.root);
      const blob = join(own, 'blob');
      await runInto(blob, path('regctl'), ['blob', 'get', name, layer], env);
      expectSame('regctl blob get', await hashFile(blob), layer);

      const referrers = await listed(env, image);
      expectSame('referrers', referrers.length, 2);
      for (const [type, wanted] of contents) {
        const args = ['artifact', 'get', '--filter-artifact-type', type, '--subject', image];
        expectSame(`regctl artifact get ${type}`, await call(...args), wanted);
      }
      // Not by mirror: one that says 404, as is right for referrers of referrers, sends regctl on to the upstream itself.
      const byPath = { env: configure(own, weir.host, upstream.name, 'path') };
      const layout = join(own, 'layout');
      await run(
        path('regctl'),
        [
          'image',
          'copy',
          ...(knowsLeaves ? ['--referrers'] : []),
          `${base}/${repository}:${tag}`,
          `ocidir://${layout}:1`,
        ],
        byPath,
      );
      const blobs = await hashBlobs(join(layout, 'blobs', 'sha256'));
      const wanted = [direct.root, ...direct.blobs.keys(), ...(knowsLeaves ? referrers : [])];
      const absent = wanted.filter((digest) => !blobs.includes(digest));
      expectSame('not in the copy', absent, []);
    };
  },
};
