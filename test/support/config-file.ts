/** A configuration for a test: written into a file, and read as the program reads it. */
import { writeFile } from 'node:fs/promises';
import type { Config } from '../../src/config/values/config.ts';
import { loadConfig } from '../../src/config/load.ts';
import type { TempDirectory } from './temp.ts';

/**
 * `settings` over those that every test wants: free ports of loopback, a root in `temp`, no upstream that is not named and
 * nobody's credentials. Throws with the problems that the program would show. `env`: variables that the settings name.
 */
export async function configIn(
  temp: TempDirectory,
  settings: object,
  env: Readonly<Record<string, string>> = {},
): Promise<Config> {
  const file = temp.file('weir.yaml');
  const base = {
    listen: '127.0.0.1:0',
    admin: { listen: '127.0.0.1:0' },
    cache: { root: temp.file('cache'), maxSize: '1GiB', minFree: '1%' },
    builtinUpstreams: false,
    credentials: { dockerConfig: 'off' },
  };
  await writeFile(file, JSON.stringify({ ...base, ...settings })); // JSON is YAML
  const loaded = loadConfig({ path: file, env, cwd: temp.path });
  if (loaded.kind === 'problems') throw new Error(JSON.stringify(loaded.problems));
  return loaded.config;
}
