/** CNCF distribution as a pull-through cache: 3 as the e2e suite builds it, 2.8 as Debian packages it. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { cleanEnvironment } from '../../test/e2e/process.ts';
import { originOf } from '../support/upstream.ts';
import { type Command, type Peer, peerOf } from './peer.ts';

function command(program: string): Command {
  return ({ route, directory, hasAccessLog }, port) => {
    const file = join(directory, 'config.yml');
    const configuration = {
      version: 0.1,
      log: { level: 'error', accesslog: { disabled: hasAccessLog !== true } },
      storage: { filesystem: { rootdirectory: join(directory, 'cache') } },
      http: { addr: `127.0.0.1:${port}` },
      proxy: { remoteurl: originOf(route) },
    };
    writeFileSync(file, JSON.stringify(configuration));
    // Go's own variable: there is no setting for a private authority.
    const env = route.ca === undefined ? {} : { SSL_CERT_FILE: route.ca };
    return Promise.resolve({ command: program, args: ['serve', file], env });
  };
}

export function distributionPeer(name: string, title: string, version: string, program: string): Peer {
  const facts = { name, title, kind: 'registry', version, isBounded: false } as const;
  return peerOf(facts, command(program), cleanEnvironment);
}
