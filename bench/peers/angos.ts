/** Angos: answers a miss with the upstream's stream, and caches it by a second transfer. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { cleanEnvironment } from '../../test/e2e/process.ts';
import { namespace } from '../support/content.ts';
import { originOf } from '../support/upstream.ts';
import { type Command, type Peer, peerOf, versionInName } from './peer.ts';

function command(program: string): Command {
  return ({ route, directory, hasAccessLog }, port) => {
    const file = join(directory, 'angos.toml');
    const lines = [
      '[server]',
      'bind_address = "127.0.0.1"',
      `port = ${port}`,
      '[blob_store.fs]',
      `root_dir = "${join(directory, 'cache')}"`,
      '[global.access_policy]',
      'default = "allow"',
      `[[repository."${namespace}".upstream]]`,
      `url = "${originOf(route)}"`,
      ...(route.ca === undefined ? [] : [`server_ca_bundle = "${route.ca}"`]),
    ];
    writeFileSync(file, `${lines.join('\n')}\n`);
    const env = { RUST_LOG: hasAccessLog === true ? 'info' : 'error' };
    return Promise.resolve({ command: program, args: ['-c', file, 'server'], env });
  };
}

/** It does not tell its version. */
export function angosPeer(program: string): Peer {
  const version = versionInName(program);
  const facts = { name: 'angos', title: 'Angos', kind: 'registry', version, isBounded: false } as const;
  return peerOf(facts, command(program), cleanEnvironment);
}
