/** A Compose file published as an artifact and used by reference. No Docker daemon is needed for either. */
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { hashFile } from '../clients/client.ts';
import { run } from '../process.ts';
import { expectMatch, expectSame, homeIn, type Tool } from './tool.ts';

const noDaemon = { DOCKER_HOST: 'unix:///nonexistent' };

export const compose: Tool = {
  name: 'compose',
  programs: ['compose'],
  upstreams: ['dist3.test', 'referrers.test'],
  prepare: async ({ directory, upstream, path }) => {
    const application = {
      services: { web: { image: 'busybox:1', environment: { WHO: upstream.name } }, db: { image: 'busybox:1' } },
    };
    writeFileSync(join(directory, 'compose.yaml'), JSON.stringify(application)); // JSON is YAML
    const env = homeIn(directory, noDaemon);
    const target = `${upstream.host}/lab/compose:1`;
    await run(path('compose'), ['publish', '--insecure-registry', '--yes', target], { cwd: directory, env });
    const config = async (host: string, reference: string, own: string): Promise<string> => {
      const args = ['--insecure-registry', host, '--project-name', 'e2e', '--file', `oci://${reference}`, 'config'];
      return (await run(path('compose'), args, { cwd: own, env: homeIn(own, noDaemon) })).stdout;
    };
    const direct = await config(upstream.host, target, directory);
    return async ({ weir, base, directory: own }) => {
      const through = await config(weir.host, `${base}/lab/compose:1`, own);
      expectSame('docker compose config', through, direct);
      expectMatch('docker compose config', through, new RegExp(`WHO: ${upstream.name}`));
      const cached = readdirSync(own, { recursive: true, encoding: 'utf8' }).find((name) => name.endsWith('.yaml'));
      const file = await hashFile(join(own, cached ?? 'compose.yaml'));
      expectSame('the file in the cache', file, await hashFile(join(directory, 'compose.yaml')));
    };
  },
};
