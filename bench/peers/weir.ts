/** weir as a user runs it: compiled, with its defaults except root, ports, upstream and what a row names. */
import { existsSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { cleanEnvironment, freePort, run } from '../../test/e2e/process.ts';
import { originOf } from '../support/upstream.ts';
import { type Command, type Peer, peerOf } from './peer.ts';

const repository = resolve(import.meta.dirname, '..', '..');

/** Compiles the working tree; answers the program. */
export async function buildWeir(): Promise<string> {
  await run('npm', ['run', '-s', 'build'], { cwd: repository, env: process.env, timeoutMs: 240_000 });
  return join(repository, 'dist', 'main.js');
}

function command(program: string): Command {
  return async ({ route, directory, hasAccessLog, maxBytes }, port) => {
    const file = join(directory, 'weir.yaml');
    const upstream = {
      url: originOf(route),
      default: true,
      ...(route.ca === undefined ? {} : { tls: { ca: route.ca } }),
    };
    const configuration = {
      listen: `127.0.0.1:${port}`,
      admin: { listen: `127.0.0.1:${await freePort()}` },
      cache: { root: join(directory, 'cache') },
      upstreams: { 'bench.test': upstream },
    };
    writeFileSync(file, JSON.stringify(configuration)); // JSON is YAML
    return {
      command: process.execPath,
      args: [program, 'serve', '--config', file],
      env: {
        ...(hasAccessLog === false ? { WEIR_LOG_ACCESS: 'false' } : {}),
        ...(maxBytes === undefined ? {} : { WEIR_CACHE_MAX_SIZE: String(maxBytes) }),
      },
    };
  };
}

/** A second build, under a name of its own, is one of the peers: before and after, in one run. */
export async function weirPeer(name: string, program: string): Promise<Peer> {
  if (!existsSync(program)) throw new Error(`${name}: there is no ${program}`);
  const { stdout } = await run(process.execPath, [program, '--version']);
  const facts = { name, title: name, kind: 'weir', version: stdout.trim(), isBounded: true } as const;
  return peerOf(facts, command(program), cleanEnvironment);
}
