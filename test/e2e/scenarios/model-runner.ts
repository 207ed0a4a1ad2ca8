/** Docker Model Runner: a model that its own tool has packed, pulled by that tool, and by the runner through a mirror. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { hashFile } from '../clients/client.ts';
import { writeGguf, writeNoiseFile } from '../content/model-files.ts';
import type { Artifact } from '../content/seed.ts';
import { directPull } from '../direct-pull.ts';
import { accepts, cleanEnvironment, Daemon, freePort, run } from '../process.ts';
import { CheckError } from '../report.ts';
import { revive, type Seeded, type Stage } from '../stage.ts';
import { needed } from '../tools.ts';
import { onceEach } from './cost.ts';
import { playPhases } from './phases.ts';

type Versions = ReadonlyMap<string, string>;

export const toolRow = (versions: Versions): string => `mdltool ${versions.get('mdltool')} @ dist3.test`;
export const runnerRow = (versions: Versions): string => `dmr ${versions.get('dmr')} @ dist3.test`;

const repository = 'models/runner';

/** A GGUF file of 33 MB and a license, as its `package` publishes them. */
async function publish({ tools, workspace }: Stage, host: string): Promise<void> {
  const directory = workspace.directory('model-runner');
  const [model, license] = [join(directory, 'model.gguf'), join(directory, 'LICENSE')];
  writeGguf(model, repository, 2000);
  writeNoiseFile(license, 2000);
  // It makes a store whatever it is asked for.
  const store = ['--store-path', join(directory, 'store')];
  const args = [...store, 'package', '--licenses', license, '--tag', `${host}/${repository}:1`, model];
  await run(needed(tools, 'mdltool'), args, { env: environment(directory) });
  workspace.remove(directory);
}

const environment = (home: string): NodeJS.ProcessEnv => cleanEnvironment({ HOME: home, INSECURE_REGISTRY: 'true' });

/** Digests of everything in its store that is named by a digest, hashed by us. */
async function hashStore(store: string): Promise<readonly string[]> {
  const directory = join(store, 'blobs', 'sha256');
  const names = readdirSync(directory);
  const digests = await Promise.all(names.map((name) => hashFile(join(directory, name))));
  const wrong = names.filter((name, index) => digests[index] !== `sha256:${name}`);
  if (wrong.length > 0) throw new CheckError(`not what their names say: ${wrong.join(' ')}`);
  return digests;
}

/** Pulls into an empty store below `directory` and answers where that is. */
type Pull = (stage: Stage, host: string, directory: string) => Promise<string>;

async function playPulls(stage: Stage, seeded: Seeded, row: string, pull: Pull): Promise<void> {
  const { upstream } = seeded;
  await revive(seeded);
  await publish(stage, upstream.host);
  const direct = await directPull(upstream, repository, '1');
  const artifact: Artifact = { name: 'model', kind: 'artifact', repository, tag: '1', direct };
  await playPhases(stage, {
    row,
    seeded,
    act: async ({ host }) => {
      const directory = stage.workspace.directory('model-store');
      const digests = await hashStore(await pull(stage, host, directory));
      const absent = [...direct.blobs.keys()].filter((digest) => !digests.includes(digest));
      if (absent.length > 0) throw new CheckError(`not in its store: ${absent.join(' ')}`);
      stage.workspace.remove(directory);
      return `${digests.length} blobs`;
    },
    cost: (_, requests) => onceEach(requests, [artifact]),
  });
}

/** The tool has no setting for a mirror: weir and the upstream are in front of the name. */
export async function playModelTool(stage: Stage, seeded: Seeded): Promise<void> {
  await playPulls(stage, seeded, toolRow(stage.versions), async ({ tools }, host, directory) => {
    const store = join(directory, 'store');
    const reference = `${host}/${seeded.upstream.name}/${repository}:1`;
    const args = ['--store-path', store, 'pull', reference];
    await run(needed(tools, 'mdltool'), args, { env: environment(directory) });
    return store;
  });
}

/** The runner has one for Docker Hub, which weir's default upstream is. */
export async function playModelRunner(stage: Stage, seeded: Seeded): Promise<void> {
  await playPulls(stage, seeded, runnerRow(stage.versions), async ({ tools }, host, directory) => {
    const [program, store, port] = [needed(tools, 'dmr'), join(directory, 'store'), await freePort()];
    const env = cleanEnvironment({
      HOME: directory,
      MODEL_RUNNER_HOST: `http://127.0.0.1:${port}`,
      MODEL_RUNNER_REGISTRY_MIRRORS: `http://${host}`,
      // It looks for newer engines otherwise.
      DISABLE_SERVER_UPDATE: 'true',
    });
    const args = ['serve', '--port', String(port), '--models-path', store];
    const server = new Daemon('dmr', program, args, join(directory, 'dmr.log'), env);
    try {
      await server.ready(() => accepts(port));
      await run(program, ['pull', `${repository}:1`], { env });
    } catch (error) {
      throw new CheckError(`${error instanceof Error ? error.message : String(error)}\n${server.tail()}`);
    } finally {
      await server.stop();
    }
    return store;
  });
}
