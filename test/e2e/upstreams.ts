/** The real registries weir stands in front of: each a process on a loopback port of its own, with its own access log. */
import { join } from 'node:path';
import { writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { accepts, Daemon, freePort } from './process.ts';
import { parseCombined, parseCrane, parseZot, RequestLog, type LineParser, type LoggedRequest } from './request-log.ts';
import { onPath } from './install/cache.ts';
import type { Tools } from './tools.ts';
import type { Workspace } from './workspace.ts';

/** How one kind of registry is started. */
interface RegistryKind {
  /** weir's name for it: a key of `upstreams`, and the host in image names. `.test` never resolves (RFC 6761). */
  readonly name: string;
  readonly title: string;
  /** `tags.ttl` in weir's configuration; undefined leaves weir's default. */
  readonly ttl: string | undefined;
  /** Whether its content outlives the process. */
  readonly isPersistent: boolean;
  readonly parse: LineParser;
  /** Program and arguments; may write configuration files into `directory`. */
  readonly command: (directory: string, port: number) => readonly [string, ...string[]];
}

function distributionCommand(program: string) {
  return (directory: string, port: number): readonly [string, ...string[]] => {
    const config = {
      version: 0.1,
      log: { level: 'warn', accesslog: { disabled: false } },
      // Clients that keep a fallback tag of referrers delete the index they replace.
      storage: { filesystem: { rootdirectory: join(directory, 'content') }, delete: { enabled: true } },
      http: { addr: `127.0.0.1:${port}` },
    };
    const file = join(directory, 'config.yml');
    writeFileSync(file, JSON.stringify(config));
    return [program, 'serve', file];
  };
}

function kinds(tools: Tools): readonly RegistryKind[] {
  const always: RegistryKind[] = [
    {
      name: 'dist3.test',
      title: 'distribution 3',
      ttl: '0s', // every use of a tag revalidates, and a stopped upstream means a stale answer
      isPersistent: true,
      parse: parseCombined,
      command: distributionCommand(tools.distribution3),
    },
    {
      name: 'dist2.test',
      title: 'distribution 2.8.2',
      ttl: '1h',
      isPersistent: true,
      parse: parseCombined,
      command: distributionCommand(tools.distribution2),
    },
    {
      name: 'crane.test',
      title: "crane's registry",
      ttl: undefined,
      isPersistent: false,
      parse: parseCrane,
      command: (_, port) => [tools.crane, 'registry', 'serve', '--address', `127.0.0.1:${port}`],
    },
    {
      name: 'referrers.test',
      title: "crane's registry with the referrers API",
      ttl: '0s',
      isPersistent: false,
      parse: parseCrane,
      command: (_, port) => [tools.referrersRegistry, '-address', `127.0.0.1:${port}`],
    },
  ];
  const { zot } = tools;
  if (zot === undefined) return always;
  return [
    ...always,
    {
      name: 'zot.test',
      title: 'zot',
      ttl: '0s',
      isPersistent: true,
      parse: parseZot,
      command: (directory, port) => {
        const file = join(directory, 'zot.json');
        const storage = { rootDirectory: join(directory, 'content') };
        const http = { address: '127.0.0.1', port: String(port), compat: ['docker2s2'] };
        writeFileSync(file, JSON.stringify({ distSpecVersion: '1.1.0', storage, http, log: { level: 'info' } }));
        return [zot, 'serve', file];
      },
    },
  ];
}

export class Upstream {
  readonly name: string;
  readonly title: string;
  readonly ttl: string | undefined;
  readonly isPersistent: boolean;
  readonly port: number;
  readonly #log: RequestLog;
  readonly #logFile: string;
  readonly #command: readonly [string, ...string[]];
  #daemon: Daemon | undefined;

  constructor(kind: RegistryKind, directory: string, port: number) {
    this.name = kind.name;
    this.title = kind.title;
    this.ttl = kind.ttl;
    this.isPersistent = kind.isPersistent;
    this.port = port;
    this.#logFile = join(directory, 'registry.log');
    this.#log = new RequestLog(this.#logFile, kind.parse);
    this.#command = kind.command(directory, port);
  }

  /** `host:port`, as clients that talk to it directly name it. */
  get host(): string {
    return `127.0.0.1:${this.port}`;
  }

  get isRunning(): boolean {
    return this.#daemon !== undefined;
  }

  async start(): Promise<void> {
    const [program, ...args] = this.#command;
    this.#daemon = new Daemon(this.name, program, args, this.#logFile);
    await this.#daemon.ready(() => accepts(this.port));
  }

  /** Kills the process: what listens there afterwards refuses connections. */
  async stop(): Promise<void> {
    await this.#daemon?.stop('SIGKILL');
    this.#daemon = undefined;
  }

  /** Requests from weir so far, without the suite's own marks. */
  requests(): readonly LoggedRequest[] {
    return this.#log.all().filter(({ target }) => !target.includes(mark));
  }

  /**
   * Waits until the log holds every request that was answered before this call: a registry writes its line after the
   * answer. A request of our own is sent and its line awaited, then the log must stay as it is for `quietMs`.
   */
  async settle(quietMs = 100): Promise<void> {
    if (!this.isRunning) return;
    const id = `${mark}-${Date.now()}-${Math.random().toString(36).slice(2)}`;
    await (await fetch(`http://${this.host}/v2/?${id}`)).arrayBuffer();
    const deadline = Date.now() + 10_000;
    let seen = -1;
    for (;;) {
      const all = this.#log.all();
      if (all.some(({ target }) => target.includes(id)) && all.length === seen) return;
      if (Date.now() > deadline) throw new Error(`${this.name}: the access log did not come to rest`);
      seen = all.length;
      await sleep(quietMs);
    }
  }
}

const mark = 'e2e-mark';

/** weir's names for the upstreams of a run. */
export function upstreamNames(): readonly string[] {
  const always = ['dist3.test', 'dist2.test', 'crane.test', 'referrers.test'];
  return onPath('zot') === undefined ? always : [...always, 'zot.test'];
}

/** All upstreams, started and empty. */
export async function startUpstreams(tools: Tools, workspace: Workspace): Promise<readonly Upstream[]> {
  const upstreams: Upstream[] = [];
  for (const kind of kinds(tools)) {
    const upstream = new Upstream(kind, workspace.directory(kind.name), await freePort());
    await upstream.start();
    upstreams.push(upstream);
  }
  return upstreams;
}
