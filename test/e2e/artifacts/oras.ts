/** ORAS besides our oras-go program: the Python SDK, and the CLI where there is one. */
import { readdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { eachInItsOwnDirectory, throughPath } from '../clients/simple.ts';
import { hashBlobs, hashFile, type Client } from '../clients/client.ts';
import { run } from '../process.ts';
import { expectSame, homeIn, type Tool } from './tool.ts';

const script = resolve(import.meta.dirname, '..', 'oras-python', 'client.py');

/** Runs the script with the SDK's directory on Python's path. */
async function python(sdk: string, directory: string, ...args: readonly string[]): Promise<string> {
  const env = homeIn(directory, { PYTHONPATH: sdk, PYTHONDONTWRITEBYTECODE: '1' });
  return (await run('python3', [script, ...args], { cwd: directory, env })).stdout.trim();
}

/** Pushes files (`NAME:MEDIATYPE`) with their names; answers the digest of the manifest. */
export async function pushWithOrasPython(
  sdk: string,
  directory: string,
  target: string,
  files: readonly string[],
): Promise<string> {
  return python(sdk, directory, 'push', target, ...files);
}

export const orasPython: Client = {
  name: 'oras-py',
  programs: ['orasPython'],
  upstreams: ['dist3.test', 'crane.test'],
  kinds: ['artifact'],
  platforms: 'all',
  open: async (site) =>
    eachInItsOwnDirectory(site, 'oras-py', async (own, directory, artifact, by) => {
      const home = own.workspace.directory('home');
      const digest = await python(own.tools.orasPython, home, 'pull', throughPath(own, artifact, by), directory);
      own.workspace.remove(home);
      const blobs = readdirSync(directory).map((file) => hashFile(join(directory, file)));
      return { digests: [digest], blobs: await Promise.all(blobs) };
    }),
};

export const orasPythonPush: Tool = {
  name: 'oras-py push',
  programs: ['orasPython'],
  upstreams: ['dist3.test', 'referrers.test'],
  prepare: async ({ directory, upstream, path }) => {
    const files = ['data.csv', 'notes.txt'];
    for (const file of files) writeFileSync(join(directory, file), `${file} of ${upstream.name}\n`);
    const named = files.map((file) => `${file}:text/plain`);
    const pushed = await pushWithOrasPython(path('orasPython'), directory, `${upstream.host}/lab/python:1`, named);
    return async ({ base, directory: own }) => {
      expectSame('tags', await python(path('orasPython'), own, 'tags', `${base}/lab/python`), '1');
      const got = await python(path('orasPython'), own, 'pull', `${base}/lab/python:1`, own);
      expectSame('digest', got, pushed);
      for (const file of files)
        expectSame(file, await hashFile(join(own, file)), await hashFile(join(directory, file)));
    };
  },
};

/** The CLI's commands besides `copy` to a layout, for machines that have it. */
export const orasCliCommands: Tool = {
  name: 'oras CLI commands',
  programs: ['oras'],
  upstreams: ['dist3.test', 'referrers.test'],
  prepare: async ({ directory, stage, upstream, path }) => {
    const oras = async (cwd: string, ...args: readonly string[]): Promise<string> =>
      (await run(path('oras'), args, { cwd, env: homeIn(cwd) })).stdout;
    const other = stage.seeded.find((one) => one.upstream.name === 'dist2.test')?.upstream;
    if (other === undefined) throw new Error('no second registry to copy to');
    const pushed = `${upstream.host}/lab/cli:1`;
    writeFileSync(join(directory, 'data.csv'), `of ${upstream.name}\n`);
    writeFileSync(join(directory, 'signature.txt'), `for ${upstream.name}\n`);
    const plain = ['--plain-http'];
    const type = 'application/vnd.weir-e2e.cli.v1';
    await oras(directory, 'push', ...plain, '--artifact-type', type, pushed, 'data.csv:text/csv');
    await oras(directory, 'attach', ...plain, '--artifact-type', type, pushed, 'signature.txt:text/plain');
    const digestsOf = (text: string): readonly string[] =>
      [...new Set([...text.matchAll(/sha256:[0-9a-f]{64}/g)].map(([digest]) => digest))].toSorted();
    const discover = async (
      cwd: string,
      reference: string,
      levels: readonly string[] = [],
    ): Promise<readonly string[]> =>
      digestsOf(await oras(cwd, 'discover', ...plain, ...levels, '--format', 'json', reference));
    const wanted = await discover(directory, pushed);
    return async ({ base, directory: own, phase, knowsLeaves }) => {
      const name = `${base}/lab/cli:1`;
      expectSame('oras discover', await discover(own, name, knowsLeaves ? [] : ['--depth', '1']), wanted);
      expectSame('oras repo tags', /^1$/m.test(await oras(own, 'repo', 'tags', ...plain, `${base}/lab/cli`)), true);
      await oras(own, 'pull', ...plain, name);
      expectSame('oras pull', await hashFile(join(own, 'data.csv')), await hashFile(join(directory, 'data.csv')));
      if (!knowsLeaves) return;
      const copy = `${other.host}/copied/cli-${upstream.name}:${phase.replaceAll(' ', '-')}`;
      await oras(own, 'copy', '--recursive', '--from-plain-http', '--to-plain-http', name, copy);
      expectSame('oras copy --recursive', await discover(own, copy), wanted);
      const layout = join(own, 'layout');
      await oras(own, 'copy', '--recursive', '--from-plain-http', name, '--to-oci-layout', `${layout}:1`);
      const blobs = await hashBlobs(join(layout, 'blobs', 'sha256'));
      expectSame(
        'not in the layout',
        wanted.filter((digest) => !blobs.includes(digest)),
        [],
      );
    };
  },
};
