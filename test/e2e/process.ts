/** Starting programs: commands that end by themselves, and daemons that are stopped. Nothing outlives `stopEverything`. */
import { spawn, type ChildProcess, type SpawnOptions } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

export interface Finished {
  readonly stdout: string;
  readonly stderr: string;
}

export interface CommandOptions {
  readonly cwd?: string;
  /** The whole environment of the program; the suite's own (see `cleanEnvironment`) when absent. */
  readonly env?: NodeJS.ProcessEnv;
  /** After this the program is killed and the command fails. Default two minutes. */
  readonly timeoutMs?: number;
}

export class CommandError extends Error {
  readonly kind: 'spawn' | 'timeout' | 'exit';

  constructor(kind: CommandError['kind'], message: string, cause?: unknown) {
    super(message, { cause });
    this.kind = kind;
  }
}

const running = new Set<ChildProcess>();
let isEnding = false;

function start(command: string, args: readonly string[], options: SpawnOptions): ChildProcess {
  if (isEnding) throw new CommandError('spawn', `${command}: the suite is ending`);
  const child = spawn(command, args, { ...options, detached: true });
  running.add(child);
  return child;
}

/** What a program may know of this machine: no weir, registry, proxy or container settings of whoever runs the suite. */
export function cleanEnvironment(extra: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
  const foreign =
    /^(WEIR|DOCKER|COMPOSE|CONTAINERD|CONTAINERS|REGISTRY|HELM|CTR|PODMAN|BUILDAH|OTEL|STORAGE|npm|COSIGN|SIGSTORE|TUF|ORAS|REGCTL|WKG|CONFTEST)_|^(https?|all|no)_proxy$/i;
  const kept = Object.entries(process.env).filter(([name]) => !foreign.test(name));
  return { ...Object.fromEntries(kept), NO_PROXY: '127.0.0.1,localhost', OTEL_SDK_DISABLED: 'true', ...extra };
}

function lastLines(text: string, count: number): string {
  return text.trimEnd().split('\n').slice(-count).join('\n');
}

/** Runs a program to its end; throws a CommandError with the end of its output unless it exits 0. */
export async function run(
  command: string,
  args: readonly string[],
  { cwd, env = cleanEnvironment(), timeoutMs = 120_000 }: CommandOptions = {},
): Promise<Finished> {
  const child = start(command, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] });
  const output = { stdout: '', stderr: '' };
  child.stdout?.setEncoding('utf8').on('data', (text: string) => (output.stdout += text));
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (output.stderr += text));
  const shown = [command.split('/').at(-1), ...args].join(' ');
  let timedOut = false;
  const timer = setTimeout(() => {
    timedOut = true;
    killGroup(child, 'SIGKILL');
  }, timeoutMs);
  try {
    const [code, signal] = await new Promise<readonly [number | null, NodeJS.Signals | null]>((resolve, reject) => {
      child.once('error', (error) => reject(new CommandError('spawn', `${shown}: ${error.message}`, error)));
      child.once('close', (...ended) => resolve(ended));
    });
    if (code === 0) return output;
    const end = lastLines(`${output.stdout}\n${output.stderr}`.trim(), 12);
    if (timedOut) throw new CommandError('timeout', `${shown}: killed after ${timeoutMs} ms\n${end}`);
    throw new CommandError('exit', `${shown}: ${signal ?? `exit code ${code}`}\n${end}`);
  } finally {
    clearTimeout(timer);
    running.delete(child);
  }
}

/** Each program leads a process group of its own, so that its children go with it. */
function killGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, signal);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
  }
}

/** A server of the suite. Its standard output and error go to one file, which outlives it. */
export class Daemon {
  readonly name: string;
  readonly logFile: string;
  readonly #child: ChildProcess;
  readonly #closed: Promise<string>;

  constructor(name: string, command: string, args: readonly string[], logFile: string, env = cleanEnvironment()) {
    this.name = name;
    this.logFile = logFile;
    const log = openSync(logFile, 'a');
    this.#child = start(command, args, { env, stdio: ['ignore', log, log] });
    closeSync(log);
    this.#closed = new Promise((resolve) => {
      this.#child.once('error', (error) => resolve(error.message));
      this.#child.once('exit', (code, signal) => resolve(signal ?? `exit code ${code}`));
    });
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  log(): string {
    return readFileSync(this.logFile, 'utf8');
  }

  /** The end of its log, as evidence. */
  tail(lines = 15): string {
    return lastLines(this.log(), lines);
  }

  /** Waits until `isReady` answers true; throws when the daemon ends first or the deadline passes. */
  async ready(isReady: () => Promise<boolean>, deadlineMs = 30_000): Promise<void> {
    const stop = new AbortController();
    const ended = this.#closed.then((how) => {
      stop.abort();
      return how;
    });
    const deadline = Date.now() + deadlineMs;
    for (;;) {
      if (stop.signal.aborted) throw new CommandError('exit', `${this.name} ended: ${await ended}\n${this.tail()}`);
      if (await isReady()) return;
      if (Date.now() > deadline) {
        throw new CommandError('timeout', `${this.name}: not ready after ${deadlineMs} ms\n${this.tail()}`);
      }
      await sleep(25);
    }
  }

  /** Sends a signal, waits for the end (killing the group after `graceMs`) and says how it ended. */
  async stop(signal: NodeJS.Signals = 'SIGTERM', graceMs = 15_000): Promise<string> {
    this.#child.kill(signal);
    const timer = setTimeout(() => killGroup(this.#child, 'SIGKILL'), graceMs);
    const how = await this.#closed;
    clearTimeout(timer);
    killGroup(this.#child, 'SIGKILL');
    running.delete(this.#child);
    return how;
  }
}

/**
 * Ends every process the suite started, and lets no further one start: first politely, because dockerd and podman have
 * children to end themselves.
 */
export async function stopEverything(graceMs = 10_000): Promise<void> {
  isEnding = true;
  const ends = [...running].map(async (child) => {
    if (child.exitCode === null && child.signalCode === null && child.pid !== undefined) {
      const closed = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGTERM');
      await Promise.race([closed, sleep(graceMs, undefined, { ref: false })]);
    }
    killGroup(child, 'SIGKILL');
    running.delete(child);
  });
  await Promise.all(ends);
}

/** A loopback port that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('no TCP address');
  return address.port;
}

/** Whether something accepts TCP connections there. */
export async function accepts(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  const isOpen = await new Promise<boolean>((resolve) => {
    socket.once('connect', () => resolve(true));
    socket.once('error', () => resolve(false));
  });
  socket.destroy();
  return isOpen;
}
