/** Ollama: a server of its own for each pull, because it keeps what it has; the pull is the printed command line. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { cleanEnvironment, Daemon, freePort, run } from '../process.ts';
import type { Workspace } from '../workspace.ts';
import { hashFile } from './client.ts';

/** Digests of everything that it has stored afterwards, each hashed by us. */
export async function pullByOllama(
  program: string,
  workspace: Workspace,
  args: readonly string[],
): Promise<readonly string[]> {
  const directory = workspace.directory('ollama');
  const models = join(directory, 'models');
  const host = `127.0.0.1:${await freePort()}`;
  const env = cleanEnvironment({ OLLAMA_HOST: host, OLLAMA_MODELS: models, HOME: directory });
  const log = join(directory, 'ollama.log');
  const daemon = new Daemon('ollama', program, ['serve'], log, env);
  try {
    await daemon.ready(async () => {
      try {
        return (await fetch(`http://${host}/api/version`)).ok;
      } catch {
        return false; // not listening yet
      }
    });
    await run(program, args, { env }).catch((error: unknown) => {
      throw new Error(readFileSync(log, 'utf8').split('\n').slice(-8).join('\n'), { cause: error });
    });
    const blobs = join(models, 'blobs');
    const digests: string[] = [];
    for (const name of readdirSync(blobs)) {
      const digest = await hashFile(join(blobs, name));
      if (name !== digest.replace(':', '-')) throw new Error(`${name} hashes to ${digest}`);
      digests.push(digest);
    }
    return digests;
  } finally {
    await daemon.stop();
    workspace.remove(directory);
  }
}
