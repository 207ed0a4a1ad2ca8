/** crane's commands besides pull: list, look, copy, export. */
import { join } from 'node:path';
import { hashFile } from '../clients/client.ts';
import { sha256 } from '../content/image-layout.ts';
import { run } from '../process.ts';
import { expectMatch, expectSame, runInto, type Tool } from './tool.ts';

export const craneCommands: Tool = {
  name: 'crane commands',
  programs: ['crane'],
  upstreams: ['dist2.test', 'referrers.test'],
  prepare: async ({ stage, seeded, upstream, path }) => {
    const multi = seeded.artifacts.find(({ name }) => name === 'multi');
    const target = stage.seeded.find((one) => one.upstream.name === 'dist3.test')?.upstream;
    if (multi === undefined || target === undefined) throw new Error('the content has no image for several platforms');
    const { direct, repository, tag } = multi;
    const [config = '', layer = ''] = direct.amd64;
    const crane = async (env: NodeJS.ProcessEnv, ...args: readonly string[]): Promise<string> =>
      (await run(path('crane'), args, { env })).stdout;
    return async ({ base, directory, env, phase }) => {
      const name = `${base}/${repository}`;
      const image = `${name}:${tag}`;
      const amd64 = ['--platform', 'linux/amd64', image];
      expectSame('crane ls', (await crane(env, 'ls', name)).trim().split('\n'), [tag]);
      expectSame('crane digest', (await crane(env, 'digest', image)).trim(), direct.root);
      expectSame('crane manifest', sha256(Buffer.from(await crane(env, 'manifest', image))), direct.root);
      expectSame('crane config', sha256(Buffer.from(await crane(env, 'config', ...amd64))), config);
      const children = await crane(env, 'index', 'list', image);
      for (const child of direct.manifests.slice(1)) expectMatch('crane index list', children, new RegExp(child));
      const [blob, tar] = [join(directory, 'blob'), join(directory, 'export.tar')];
      await runInto(blob, path('crane'), ['blob', `${name}@${layer}`], env);
      expectSame('crane blob', await hashFile(blob), layer);
      await crane(env, 'export', ...amd64, tar);
      expectMatch('crane export', (await run('tar', ['-tf', tar])).stdout, /^(\.\/)?etc\/weir-e2e$/m);
      await crane(env, 'validate', '--remote', image);
      const copy = `${target.host}/copied/${upstream.name}:${phase.replaceAll(' ', '-')}`;
      await crane(env, 'copy', image, copy);
      expectSame('crane copy', (await crane(env, 'digest', copy)).trim(), direct.root);
    };
  },
};
