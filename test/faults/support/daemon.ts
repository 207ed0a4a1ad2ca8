/** weir as a process, from a configuration on free loopback ports, and what can be seen of it from outside. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, openSync, readFileSync, readdirSync, readlinkSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join, resolve } from 'node:path';
import { eventually } from '../../support/gate.ts';

/** The published program: `npm run faults` builds it first. */
const entry = resolve(import.meta.dirname, '..', '..', '..', 'dist', 'main.js');

export interface DaemonOptions {
  /** Holds the configuration, the log and the cache root. */
  readonly directory: string;
  readonly upstreams: Readonly<Record<string, object>>;
  /** Merged over the defaults. */
  readonly config?: Readonly<Record<string, unknown>>;
  readonly env?: Readonly<Record<string, string>>;
  /** As `ulimit -n` says. Default: as this process may. */
  readonly openFiles?: number;
  /** As an ordinary user, to whom the modes of files apply. */
  readonly obeysModes?: boolean;
}

export class Daemon implements AsyncDisposable {
  readonly port: number;
  readonly adminPort: number;
  readonly root: string;
  readonly #options: DaemonOptions;
  #child: ChildProcess | undefined;

  private constructor(options: DaemonOptions, port: number, adminPort: number) {
    this.#options = options;
    this.port = port;
    this.adminPort = adminPort;
    this.root = join(options.directory, 'cache');
  }

  static async start(options: DaemonOptions): Promise<Daemon> {
    const port = await freePort();
    let adminPort = await freePort();
    while (adminPort === port) adminPort = await freePort();
    mkdirSync(options.directory, { recursive: true });
    const daemon = new Daemon(options, port, adminPort);
    await daemon.start();
    return daemon;
  }

  get pid(): number {
    const pid = this.#child?.pid;
    if (pid === undefined) throw new Error('the daemon does not run');
    return pid;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  get logFile(): string {
    return join(this.#options.directory, 'weir.log');
  }

  /** Starts, again after `kill` or `stop`, on the same ports and root. Resolves the milliseconds until it was ready. */
  async start(): Promise<number> {
    const { directory, upstreams, config, env, openFiles, obeysModes } = this.#options;
    const file = join(directory, 'weir.yaml');
    const settings = {
      listen: `127.0.0.1:${this.port}`,
      admin: { listen: `127.0.0.1:${this.adminPort}` },
      builtinUpstreams: false,
      ...config,
      cache: { root: this.root, maxSize: '100GiB', minFree: '1%', ...(config?.['cache'] as object | undefined) },
      upstreams,
    };
    writeFileSync(file, JSON.stringify(settings)); // JSON is YAML
    const log = openSync(this.logFile, 'a');
    const began = performance.now();
    const limit = openFiles === undefined ? '' : `ulimit -n ${openFiles} && `;
    const user = obeysModes === true ? 'setpriv --bounding-set=-dac_override,-dac_read_search ' : '';
    const command = [process.execPath, entry, 'serve', '--config', file];
    const child = spawn('/bin/sh', ['-c', `${limit}exec ${user}"$0" "$@"`, ...command], {
      stdio: ['ignore', log, log],
      env: { PATH: process.env['PATH'] ?? '', HOME: directory, ...env },
    });
    this.#child = child;
    await eventually(
      async () => {
        if (child.exitCode !== null) throw new Error(`weir ended with ${child.exitCode}:\n${this.tail()}`);
        return (await this.#status('/readyz')) === 200;
      },
      () => `weir to be ready:\n${this.tail()}`,
    );
    return performance.now() - began;
  }

  async kill(): Promise<void> {
    await this.#end('SIGKILL');
  }

  /** Resolves the exit code of a graceful stop. */
  async stop(): Promise<number | null> {
    return this.#end('SIGTERM');
  }

  /** A line of /metrics without its name, summed over its labels. */
  async metric(name: string, labels = ''): Promise<number> {
    const text = await (await fetch(`http://127.0.0.1:${this.adminPort}/metrics`)).text();
    return text
      .split('\n')
      .filter((line) => line.startsWith(name) && !line.startsWith('#') && line.includes(labels))
      .filter((line) => line[name.length] === '{' || line[name.length] === ' ')
      .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0);
  }

  /** Waits until no fill is under way: nothing lies in the ingest that is being written. */
  async idle(timeoutMs = 60_000): Promise<void> {
    await eventually(
      async () => (await this.metric('weir_fills_running')) === 0,
      () => 'the fills to end',
      timeoutMs,
    );
  }

  rssBytes(): number {
    const status = readFileSync(`/proc/${this.pid}/status`, 'utf8');
    return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1] ?? 0) * 1024;
  }

  /** Descriptors by what they point to. */
  descriptors(): readonly string[] {
    const directory = `/proc/${this.pid}/fd`;
    return readdirSync(directory).flatMap((name) => {
      try {
        return [readlinkSync(join(directory, name))];
      } catch {
        return []; // closed between the two looks
      }
    });
  }

  /** What the store occupies, seen from outside: files under the root, and deleted ones that are still open. */
  occupiedBytes(): number {
    // By inode: while a blob is committed, one file has two names.
    const files = new Map<number, number>();
    const add = (path: string): void => {
      try {
        const { ino, blocks } = statSync(path);
        files.set(ino, blocks * 512);
      } catch {
        // gone between the listing and the look
      }
    };
    for (const name of readdirSync(this.root, { recursive: true, encoding: 'utf8' })) add(join(this.root, name));
    const directory = `/proc/${this.pid}/fd`;
    for (const name of readdirSync(directory)) {
      try {
        if (readlinkSync(join(directory, name)).startsWith(this.root)) add(join(directory, name));
      } catch {
        continue; // closed between the two looks
      }
    }
    return [...files.values()].reduce((sum, bytes) => sum + bytes, 0);
  }

  /** Digests that are visible in the store. */
  blobs(): readonly string[] {
    try {
      return readdirSync(join(this.root, 'blobs', 'sha256')).map((hex) => `sha256:${hex}`);
    } catch {
      return [];
    }
  }

  ingests(): readonly string[] {
    return readdirSync(join(this.root, 'weir', 'ingest')).filter((name) => name.endsWith('.part'));
  }

  tail(lines = 20): string {
    return readFileSync(this.logFile, 'utf8').trimEnd().split('\n').slice(-lines).join('\n');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#end('SIGKILL');
  }

  async #end(signal: NodeJS.Signals): Promise<number | null> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return child?.exitCode ?? null;
    const exited = once(child, 'exit');
    child.kill(signal);
    await exited;
    return child.exitCode;
  }

  async #status(path: string): Promise<number | undefined> {
    try {
      return (await fetch(`http://127.0.0.1:${this.adminPort}${path}`)).status;
    } catch {
      return undefined; // not listening yet
    }
  }
}

export async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}
