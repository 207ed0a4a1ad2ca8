/** Ollama: a server that pulls for its command line, each time with storage of its own. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { accepts, cleanEnvironment, Daemon, freePort, run } from '../process.ts';
import { CheckError } from '../report.ts';
import type { Workspace } from '../workspace.ts';
import { hashFile } from './client.ts';

export interface PulledModel {
  /** Blobs in OLLAMA_MODELS, each hashed by us. */
  readonly blobs: readonly string[];
  /** Digests that its own manifest names. */
  readonly named: readonly string[];
  /** What `ollama show` reads out of the files. */
  readonly shown: string;
}

export interface OllamaOptions {
  readonly program: string;
  readonly workspace: Workspace;
  /** weir's `host:port`. */
  readonly weir: string;
  /** Namespace, model and tag: `library/model:tag`. Ollama's names have exactly these parts. */
  readonly model: string;
  /** Whether the model's file is one that `ollama show` reads. */
  readonly isShown: boolean;
}

/** Every blob, hashed; throws when one is not what its name says or is only a part. */
async function hashStored(directory: string): Promise<readonly string[]> {
  const digests: string[] = [];
  for (const name of readdirSync(directory)) {
    const digest = await hashFile(join(directory, name));
    if (name.replace('-', ':') !== digest) throw new CheckError(`${name} in OLLAMA_MODELS hashes to ${digest}`);
    digests.push(digest);
  }
  return digests;
}

export async function pullWithOllama(options: OllamaOptions): Promise<PulledModel> {
  const { program, workspace, weir, model, isShown } = options;
  const directory = workspace.directory('ollama');
  const port = await freePort();
  const models = join(directory, 'models');
  const env = cleanEnvironment({
    HOME: directory,
    OLLAMA_HOST: `127.0.0.1:${port}`,
    OLLAMA_MODELS: models,
    OLLAMA_DEBUG: '0',
  });
  const server = new Daemon('ollama', program, ['serve'], join(directory, 'ollama.log'), env);
  try {
    await server.ready(() => accepts(port));
    const name = `http://${weir}/${model}`;
    await run(program, ['pull', '--insecure', name], { env, timeoutMs: 300_000 });
    const [path = '', tag = ''] = model.split(':');
    const manifest = JSON.parse(readFileSync(join(models, 'manifests', weir, path, tag), 'utf8')) as {
      readonly config: { readonly digest: string };
      readonly layers: readonly { readonly digest: string }[];
    };
    const named = [manifest.config, ...manifest.layers].map(({ digest }) => digest);
    const shown = isShown ? (await run(program, ['show', `${weir}/${model}`], { env })).stdout : '';
    return { blobs: await hashStored(join(models, 'blobs')), named, shown };
  } catch (error) {
    throw new CheckError(`${error instanceof Error ? error.message : String(error)}\n${server.tail()}`);
  } finally {
    await server.stop();
    workspace.remove(directory);
  }
}
