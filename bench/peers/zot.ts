/** zot, syncing on demand: an image is copied whole when its manifest is asked for. */
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { cleanEnvironment, run } from '../../test/e2e/process.ts';
import { originOf } from '../support/upstream.ts';
import { type Command, type Peer, peerOf, versionInName } from './peer.ts';

function command(program: string): Command {
  return ({ route, directory, hasAccessLog }, port) => {
    const registry = {
      urls: [originOf(route)],
      onDemand: true,
      tlsVerify: true,
      ...(route.ca === undefined ? {} : { certDir: certificateDirectory(directory, route.ca) }),
    };
    const configuration = {
      distSpecVersion: '1.1.1',
      storage: { rootDirectory: join(directory, 'cache') },
      http: { address: '127.0.0.1', port: String(port) },
      log: { level: hasAccessLog === true ? 'info' : 'error' },
      extensions: { sync: { enable: true, registries: [registry] } },
    };
    const file = join(directory, 'zot.json');
    writeFileSync(file, JSON.stringify(configuration));
    const env = route.ca === undefined ? {} : { SSL_CERT_FILE: route.ca };
    return Promise.resolve({ command: program, args: ['serve', file], env });
  };
}

function certificateDirectory(directory: string, ca: string): string {
  const path = join(directory, 'certificates');
  mkdirSync(path);
  copyFileSync(ca, join(path, 'ca.crt'));
  return path;
}

export async function zotPeer(program: string): Promise<Peer> {
  const { stdout, stderr } = await run(program, ['--version']);
  const version = /"commit":"v?(\d[^"-]*)/.exec(stdout + stderr)?.[1] ?? versionInName(program);
  const facts = { name: 'zot', title: 'zot', kind: 'registry', version, isBounded: false } as const;
  return peerOf(facts, command(program), cleanEnvironment);
}
