/**
 * The upstream: nginx that serves static files in `/v2/` form, so fast that what is measured is the cache. One port
 * each for plain and TLS, and for limits per connection, as content delivery networks have them.
 */
import { closeSync, mkdirSync, openSync, readSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { accepts, Daemon, freePort, run } from '../../test/e2e/process.ts';
import { type Content, manifestType } from './content.ts';

/** The ports of the upstream. `slow` also ignores ranges, so that a fill cannot be faster than one connection. */
export const portNames = ['plain', 'tls', 'limit12', 'limit50', 'slow'] as const;
const statusPath = '/bench-status';
export type PortName = (typeof portNames)[number];

const settings: Readonly<Record<PortName, string>> = {
  plain: '',
  tls: '',
  limit12: 'limit_rate 12500000;',
  limit50: 'limit_rate 50000000;',
  slow: 'limit_rate 5000000; max_ranges 0;',
};

/** Where and how a cache reaches an upstream. */
export interface Route {
  readonly port: number;
  /** Path of the authority that vouches for it, when it speaks TLS. */
  readonly ca: string | undefined;
}

export function originOf({ port, ca }: Route): string {
  return `${ca === undefined ? 'http' : 'https'}://127.0.0.1:${port}`;
}

export interface LoggedRequest {
  readonly method: string;
  readonly status: number;
  readonly bytes: number;
  readonly path: string;
}

/** A certificate for 127.0.0.1 by an authority of its own. Answers the paths that nginx and clients need. */
async function makeCertificate(directory: string): Promise<{ ca: string; cert: string; key: string }> {
  const [ca, caKey, cert, key] = ['ca.pem', 'ca.key', 'cert.pem', 'cert.key'].map((name) => join(directory, name));
  if (ca === undefined || caKey === undefined || cert === undefined || key === undefined) throw new Error('no names');
  const fresh = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'];
  await run('openssl', [...fresh, '-subj', '/CN=bench authority', '-keyout', caKey, '-out', ca]);
  const names = ['-addext', 'subjectAltName=IP:127.0.0.1', '-addext', 'basicConstraints=critical,CA:false'];
  const issued = ['-CA', ca, '-CAkey', caKey, '-subj', '/CN=127.0.0.1', ...names];
  await run('openssl', [...fresh, ...issued, '-keyout', key, '-out', cert]);
  return { ca, cert, key };
}

export class Upstream {
  readonly content: Content;
  readonly #ports: ReadonlyMap<PortName, number>;
  readonly #ca: string;
  readonly #log: string;

  private constructor(content: Content, ports: ReadonlyMap<PortName, number>, ca: string, log: string) {
    this.content = content;
    this.#ports = ports;
    this.#ca = ca;
    this.#log = log;
  }

  /** Starts it once everything it serves is written. */
  static async start(directory: string, content: Content): Promise<Upstream> {
    mkdirSync(directory, { recursive: true });
    const ports = new Map<PortName, number>();
    for (const name of portNames) ports.set(name, await freePort());
    const { ca, cert, key } = await makeCertificate(directory);
    const log = join(directory, 'access.log');
    const servers = [...ports].map(([name, port]) => {
      const tls = name === 'tls' ? `ssl_certificate ${cert}; ssl_certificate_key ${key};` : '';
      return `server { listen 127.0.0.1:${port}${tls === '' ? '' : ' ssl'} backlog=4096; ${tls} ${settings[name]}
${locations(content.root)} }`;
    });
    const file = join(directory, 'nginx.conf');
    writeFileSync(file, nginxConfiguration(directory, httpBlock(log, content, servers)));
    const daemon = new Daemon('upstream', 'nginx', ['-c', file], join(directory, 'nginx.log'));
    await daemon.ready(() => accepts(ports.get('slow') ?? 0));
    return new Upstream(content, ports, ca, log);
  }

  route(name: PortName): Route {
    const port = this.#ports.get(name);
    if (port === undefined) throw new Error(`no port ${name}`);
    return { port, ca: name === 'tls' ? this.#ca : undefined };
  }

  /**
   * Waits until no request is being answered, so that what a cache fetches behind its client's back is counted where it
   * belongs. Gives up after the deadline.
   */
  async idles(deadlineMs = 30_000): Promise<void> {
    const url = `http://127.0.0.1:${this.route('plain').port}${statusPath}`;
    const deadline = Date.now() + deadlineMs;
    for (let quiet = 0; quiet < 2 && Date.now() < deadline; await sleep(50)) {
      const text = await (await fetch(url)).text();
      // The question itself is the one.
      quiet = Number(/Writing: (\d+)/.exec(text)?.[1]) <= 1 ? quiet + 1 : 0;
    }
  }

  /** A place in the access log, to read on from. */
  mark(): number {
    return statSync(this.#log).size;
  }

  /** Requests that ended since a mark. nginx writes a line when it has given an answer to the kernel, or given up. */
  async requestsSince(mark: number): Promise<readonly LoggedRequest[]> {
    await sleep(150);
    const bytes = Buffer.alloc(this.mark() - mark);
    const file = openSync(this.#log, 'r');
    readSync(file, bytes, 0, bytes.length, mark);
    closeSync(file);
    return bytes.toString().split('\n').filter(Boolean).map(parseLine);
  }

  /** Bytes of bodies that left the upstream for one digest since a mark. */
  async bytesSince(mark: number, digest: string): Promise<number> {
    const requests = await this.requestsSince(mark);
    return requests.filter(({ path }) => path.endsWith(`/${digest}`)).reduce((sum, { bytes }) => sum + bytes, 0);
  }
}

function parseLine(line: string): LoggedRequest {
  const [method = '', status = '', bytes = '', path = ''] = line.split(' ');
  return { method, status: Number(status), bytes: Number(bytes), path };
}

/** The frame of every nginx here: in the foreground, two workers, everything it writes below `directory`. */
export function nginxConfiguration(directory: string, http: string): string {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (name) => `${name}_temp_path ${join(directory, `${name}-temp`)};`,
  );
  return `daemon off; worker_processes 2; pid ${join(directory, 'nginx.pid')}; worker_rlimit_nofile 16384;
${process.getuid?.() === 0 ? 'user root;' : ''}
error_log stderr error;
events { worker_connections 8192; }
http {
${temporary.join('\n')}
sendfile on; keepalive_requests 100000000; keepalive_timeout 300s; server_tokens off;
${http}
}
`;
}

function httpBlock(log: string, content: Content, servers: readonly string[]): string {
  const tags = [...content.tagDigests].map(([path, digest]) => `"${path}" "${digest}";`);
  return `log_format upstream '$request_method $status $body_bytes_sent $uri';
access_log ${log} upstream;
map_hash_bucket_size 512;
map $uri $tag_digest { default ""; ${tags.join('\n')} }
${servers.join('\n')}`;
}

function locations(root: string): string {
  return `root ${root};
location = ${statusPath} { access_log off; stub_status; }
location = /v2/ { default_type application/json; return 200 '{}'; }
location ~ ^/v2/.+/manifests/(?<manifest_digest>sha256:[0-9a-f]+)$ {
  default_type ${manifestType}; add_header Docker-Content-Digest $manifest_digest;
}
location ~ ^/v2/.+/manifests/ { default_type ${manifestType}; add_header Docker-Content-Digest $tag_digest; }
location ~ ^/v2/.+/blobs/(?<blob_digest>sha256:[0-9a-f]+)$ {
  default_type application/octet-stream; add_header Docker-Content-Digest $blob_digest;
}`;
}
