/** weir as a process of its own, as a user would start it: source files, variables, no configuration file. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join, resolve } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';

const entry = resolve(import.meta.dirname, '..', '..', 'src', 'main.ts');
const readyMs = 30_000;
/** More than weir gives its readers when it shuts down. */
const stopMs = 15_000;

export interface DaemonOptions {
  /** An empty directory for the cache and the log. */
  readonly directory: string;
  /** The URL of the default upstream, the only one. */
  readonly upstream: string;
  readonly signal: AbortSignal;
}

export class Daemon implements AsyncDisposable {
  readonly url: string;
  readonly adminUrl: string;
  readonly root: string;
  /** Resolves when the process has ended, and says how. Never rejects. */
  readonly ended: Promise<string>;
  readonly #child: ChildProcess;
  readonly #log: string;
  #how: string | undefined;

  private constructor(options: DaemonOptions, port: number, adminPort: number) {
    this.url = `http://127.0.0.1:${port}`;
    this.adminUrl = `http://127.0.0.1:${adminPort}`;
    this.root = join(options.directory, 'cache');
    this.#log = join(options.directory, 'weir.log');
    const log = openSync(this.#log, 'a');
    // In a process group of its own: Ctrl-C reaches the demo alone, which ends weir when it is ready to.
    this.#child = spawn(process.execPath, [entry], {
      detached: true,
      stdio: ['ignore', log, log],
      env: {
        ...withoutWeir(process.env),
        WEIR_LISTEN: `127.0.0.1:${port}`,
        WEIR_ADMIN_LISTEN: `127.0.0.1:${adminPort}`,
        WEIR_CACHE_ROOT: this.root,
        WEIR_DEFAULT_UPSTREAM: options.upstream,
        WEIR_BUILTIN_UPSTREAMS: 'false',
        // Fresh for as long as the slowest machine takes.
        WEIR_TAGS_TTL: '1h',
        // A machine with little disk left should see the demo work too.
        WEIR_CACHE_MIN_FREE: '0B',
      },
    });
    closeSync(log);
    this.ended = new Promise((settle) => {
      this.#child.once('exit', (code, signal) => settle(signal === null ? `with exit code ${code}` : `by ${signal}`));
      this.#child.once('error', (error) => settle(`before it had begun: ${error.message}`));
    });
    // It never rejects.
    void this.ended.then((how) => (this.#how = how));
  }

  /** Resolves when weir answers that it is ready. */
  static async start(options: DaemonOptions): Promise<Daemon> {
    const daemon = new Daemon(options, await freePort(), await freePort());
    try {
      await daemon.#untilReady(options.signal);
      return daemon;
    } catch (error) {
      await daemon[Symbol.asyncDispose]();
      throw error;
    }
  }

  get hasEnded(): boolean {
    return this.#how !== undefined;
  }

  /** How it ended, with the last line of its log that speaks of an error. */
  describeEnd(): string {
    const lines = readFileSync(this.#log, 'utf8').trim().split('\n');
    const last = lines.findLast((line) => /error/i.test(line));
    return `weir ended ${this.#how}${last === undefined ? '' : `: ${last}`}`;
  }

  /** Ends weir; by force if it does not end by itself. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.hasEnded) return;
    this.#child.kill('SIGTERM');
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), stopMs);
    await this.ended;
    clearTimeout(timer);
  }

  async #untilReady(signal: AbortSignal): Promise<void> {
    const deadline = performance.now() + readyMs;
    while (!(await isReady(`${this.adminUrl}/readyz`, signal))) {
      if (this.hasEnded) throw new Error(this.describeEnd());
      if (performance.now() > deadline) throw new Error(`weir was not ready after ${readyMs / 1000} s`);
      await wait(50, undefined, { signal });
    }
  }
}

async function isReady(url: string, signal: AbortSignal): Promise<boolean> {
  try {
    return (await fetch(url, { signal: AbortSignal.any([signal, AbortSignal.timeout(5_000)]) })).ok;
  } catch (error) {
    if (signal.aborted) throw error;
    return false; // not listening yet
  }
}

/** Settings of the person who runs the demo are about another weir. */
function withoutWeir(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !name.startsWith('WEIR_')));
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('no free port');
  return address.port;
}
