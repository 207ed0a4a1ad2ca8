/** weir as a process: started from a configuration file on free loopback ports, stopped by a signal. */
import { writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Daemon, freePort, run } from './process.ts';
import type { Upstream } from './upstreams.ts';

const repository = resolve(import.meta.dirname, '..', '..');

/** What weir is told of an upstream. */
export type UpstreamEntry = Pick<Upstream, 'name' | 'host' | 'ttl'>;

export interface WeirOptions {
  /** Path of the program below the repository: `src/main.ts`, or `dist/main.js` after a build. */
  readonly entry: string;
  /** Holds the configuration file, the log and the cache root. */
  readonly directory: string;
  readonly upstreams: readonly UpstreamEntry[];
  /** The upstream that is also known as docker.io, the default, for clients with a Docker Hub mirror setting. */
  readonly dockerHub: UpstreamEntry;
  /** Files for HTTPS; plain HTTP without. */
  readonly tls?: { readonly cert: string; readonly key: string } | undefined;
}

function configuration(
  { upstreams, dockerHub, tls }: WeirOptions,
  root: string,
  port: number,
  adminPort: number,
): object {
  const entry = (upstream: UpstreamEntry): object => ({
    url: `http://${upstream.host}`,
    ...(upstream.ttl === undefined ? {} : { tags: { ttl: upstream.ttl } }),
  });
  return {
    listen: `127.0.0.1:${port}`,
    ...(tls === undefined ? {} : { tls }),
    admin: { listen: `127.0.0.1:${adminPort}` },
    cache: { root, maxSize: '20GiB' },
    builtinUpstreams: false,
    upstreams: {
      ...Object.fromEntries(upstreams.map((upstream) => [upstream.name, entry(upstream)])),
      'docker.io': { ...entry(dockerHub), default: true },
    },
  };
}

/** One line of weir's log without what is the same in every line. */
function shorten(line: string): string {
  if (!line.startsWith('{')) return line;
  const entry = JSON.parse(line) as Readonly<Record<string, unknown>>;
  const usual = ['time', 'service', 'room', 'requestId', 'host', 'upstream', 'bytes', 'userAgent'];
  const rest = Object.entries(entry).filter(([key]) => !usual.includes(key));
  return rest.map(([key, value]) => `${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`).join(' ');
}

interface Ports {
  readonly port: number;
  readonly adminPort: number;
}

export class Weir {
  readonly port: number;
  readonly adminPort: number;
  /** The cache root: an OCI image layout. */
  readonly root: string;
  readonly #daemon: Daemon;
  readonly #program: string;
  readonly #configuration: string;

  private constructor(daemon: Daemon, program: string, configuration: string, root: string, ports: Ports) {
    const { port, adminPort } = ports;
    this.#daemon = daemon;
    this.#program = program;
    this.#configuration = configuration;
    this.root = root;
    this.port = port;
    this.adminPort = adminPort;
  }

  get host(): string {
    return `127.0.0.1:${this.port}`;
  }

  /** Starts weir with an empty root and waits until it says it is ready. */
  static async start(options: WeirOptions): Promise<Weir> {
    const [port, adminPort] = [await freePort(), await freePort()];
    const root = join(options.directory, 'cache');
    const file = join(options.directory, 'weir.yaml');
    writeFileSync(file, JSON.stringify(configuration(options, root, port, adminPort), undefined, 2)); // JSON is YAML
    const program = resolve(repository, options.entry);
    const log = join(options.directory, 'weir.log');
    const daemon = new Daemon('weir', process.execPath, [program, 'serve', '--config', file], log);
    await daemon.ready(async () => {
      try {
        return (await fetch(`http://127.0.0.1:${adminPort}/readyz`)).ok;
      } catch {
        return false; // not listening yet
      }
    });
    return new Weir(daemon, program, file, root, { port, adminPort });
  }

  /** Runs another command of weir with this one's configuration and answers its standard output. */
  async command(args: readonly string[]): Promise<string> {
    return (await run(process.execPath, [this.#program, ...args, '--config', this.#configuration])).stdout;
  }

  /** Has `weir setup` write a client's settings, with `directory` for `/`. */
  async setUp(client: string, directory: string): Promise<void> {
    await this.command(['setup', client, '--write', '--yes', '--root', directory]);
  }

  /** How much it has logged so far: a place to read on from. */
  mark(): number {
    return this.#daemon.log().length;
  }

  /** What it logged since a mark, shortened to what a reader of a failure needs. */
  async loggedSince(mark: number): Promise<string> {
    await sleep(500); // its log is written behind the answers
    const lines = this.#daemon.log().slice(mark).trimEnd().split('\n');
    return lines.slice(-20).map(shorten).join('\n');
  }

  /** Every whole line that it logged since a mark. */
  async linesSince(mark: number): Promise<readonly Readonly<Record<string, unknown>>[]> {
    await sleep(500); // its log is written behind the answers
    const text = this.#daemon.log().slice(mark);
    const lines = text.slice(0, text.lastIndexOf('\n') + 1).split('\n');
    return lines.filter((line) => line.startsWith('{')).map((line) => JSON.parse(line) as Record<string, unknown>);
  }

  /** Asks weir to end and says how it did: `exit code 0` is a graceful shutdown. */
  async stop(): Promise<string> {
    return this.#daemon.stop('SIGTERM', 20_000);
  }
}
