/** Docker Model Runner's own package and pull, by the program of its repository that does both without a daemon. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { hashFile } from '../clients/client.ts';
import { writeGguf, writeNoiseFile } from '../content/model-files.ts';
import type { Artifact } from '../content/seed.ts';
import { directPull } from '../direct-pull.ts';
import { cleanEnvironment, run } from '../process.ts';
import { CheckError } from '../report.ts';
import { revive, type Seeded, type Stage } from '../stage.ts';
import { needed } from '../tools.ts';
import { onceEach } from './cost.ts';
import { playPhases } from './phases.ts';

export const modelRunnerRow = (versions: ReadonlyMap<string, string>): string =>
  `model-runner ${versions.get('mdltool')} @ dist3.test`;

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

export async function playModelRunner(stage: Stage, seeded: Seeded): Promise<void> {
  const { upstream } = seeded;
  await revive(seeded);
  await publish(stage, upstream.host);
  const direct = await directPull(upstream, repository, '1');
  const artifact: Artifact = { name: 'model', kind: 'artifact', repository, tag: '1', direct };
  await playPhases(stage, {
    row: modelRunnerRow(stage.versions),
    seeded,
    act: async ({ host }) => {
      const directory = stage.workspace.directory('model-store');
      const store = join(directory, 'store');
      const reference = `${host}/${upstream.name}/${repository}:1`;
      await run(needed(stage.tools, 'mdltool'), ['--store-path', store, 'pull', reference], {
        env: environment(directory),
      });
      const digests = await hashStore(store);
      const absent = [...direct.blobs.keys()].filter((digest) => !digests.includes(digest));
      if (absent.length > 0) throw new CheckError(`not in its store: ${absent.join(' ')}`);
      stage.workspace.remove(directory);
      return `${digests.length} blobs`;
    },
    cost: (_, requests) => onceEach(requests, [artifact]),
  });
}
