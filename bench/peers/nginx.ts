/** nginx `proxy_cache` with a lock, as one sets it up for a registry: it copies bytes, and checks none. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { cleanEnvironment } from '../../test/e2e/process.ts';
import { nginxConfiguration, originOf } from '../support/upstream.ts';
import { type Command, type Peer, peerOf } from './peer.ts';

const command: Command = ({ route, directory, hasAccessLog, maxBytes }, port) => {
  const file = join(directory, 'nginx.conf');
  const scheme = originOf(route).split(':')[0];
  const http = `
access_log ${hasAccessLog === true ? join(directory, 'access.log') : 'off'};
proxy_cache_path ${join(directory, 'cache')} levels=1:2 keys_zone=bench:64m inactive=24h use_temp_path=off
  max_size=${maxBytes ?? 50 * 1024 ** 3};
upstream origin { server 127.0.0.1:${route.port}; keepalive 64; }
server {
  listen 127.0.0.1:${port} backlog=4096;
  location /v2/ {
    proxy_pass ${scheme}://origin;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_cache bench;
    proxy_cache_lock on;
    proxy_cache_valid 200 1h;
    proxy_ssl_verify off;
  }
}`;
  writeFileSync(file, nginxConfiguration(directory, http));
  return Promise.resolve({ command: 'nginx', args: ['-c', file] });
};

export function nginxPeer(version: string): Peer {
  const facts = { name: 'nginx', title: 'nginx proxy_cache', kind: 'proxy', version, isBounded: true } as const;
  return peerOf(facts, command, cleanEnvironment);
}
