/** A command line in a test: what it prints, the signals that it gets, the daemon that it starts. */
import { createUpstreamProbes } from '../../src/daemon/upstreams.ts';
import { thisMachine } from '../../src/cli/frame/machine.ts';
import type { CliDeps, Daemon } from '../../src/cli/frame/command.ts';
import { run } from '../../src/cli/main.ts';
import type { CliIo } from '../../src/cli/frame/output.ts';
import type { Config } from '../../src/config/values/config.ts';

export interface FakeDaemon extends Daemon {
  readonly stops: number;
  /** Lets `stop` finish. */
  finishStop(): void;
  fail(error: unknown): void;
}

/** `isStopSlow`: waits for `finishStop` or a second call; `isStuck`: for `finishStop` alone. */
export function fakeDaemon(options: { readonly isStopSlow?: boolean; readonly isStuck?: boolean } = {}): FakeDaemon {
  const stopped = Promise.withResolvers<void>();
  let stops = 0;
  return {
    addresses: { registry: { host: '0.0.0.0', port: 5000 }, admin: { host: '127.0.0.1', port: 5001 } },
    stopped: stopped.promise,
    get stops() {
      return stops;
    },
    stop() {
      stops += 1;
      if (options.isStopSlow !== true || (stops > 1 && options.isStuck !== true)) stopped.resolve();
      return stopped.promise;
    },
    finishStop: () => stopped.resolve(),
    fail: (error) => stopped.reject(error),
  };
}

export class CommandLine {
  out = '';
  err = '';
  readonly started: Config[] = [];
  readonly #listeners = new Set<() => void>();
  readonly questions: string[] = [];
  readonly #isTTY: boolean;
  readonly #answer: boolean | undefined;
  readonly #env: Readonly<Record<string, string>>;
  readonly #machine: CliDeps['machine'];
  readonly #start: CliDeps['startDaemon'];
  readonly #hasStarted = Promise.withResolvers<void>();

  constructor(
    options: {
      readonly isTTY?: boolean;
      /** What the person at the terminal says; undefined: there is nobody. */
      readonly answer?: boolean;
      readonly env?: Readonly<Record<string, string>>;
      readonly start?: CliDeps['startDaemon'];
      readonly machine?: Partial<CliDeps['machine']>;
    } = {},
  ) {
    this.#isTTY = options.isTTY ?? false;
    this.#answer = options.answer;
    this.#machine = { ...thisMachine, ...options.machine };
    this.#env = options.env ?? {};
    this.#start = options.start ?? (() => Promise.reject(new Error('nothing should be started')));
  }

  run(...argv: readonly string[]): Promise<number> {
    const answer = this.#answer;
    const confirm = async (question: string): Promise<boolean> => {
      this.questions.push(question);
      return answer === true;
    };
    const io: CliIo = {
      confirm: answer === undefined ? undefined : confirm,
      out: { isTTY: this.#isTTY, write: (text) => void (this.out += text) },
      err: { isTTY: this.#isTTY, write: (text) => void (this.err += text) },
      env: this.#env,
      cwd: '/',
      onStopSignal: (listener) => {
        this.#listeners.add(listener);
        return () => void this.#listeners.delete(listener);
      },
    };
    return run(argv, io, {
      version: '1.2.3',
      createProbes: (config) => createUpstreamProbes(config, this.#machine.clock),
      machine: this.#machine,
      startDaemon: (config) => {
        this.started.push(config);
        this.#hasStarted.resolve();
        return this.#start(config);
      },
    });
  }

  /** When `startDaemon` has been called. */
  get hasStarted(): Promise<void> {
    return this.#hasStarted.promise;
  }

  get signalListeners(): number {
    return this.#listeners.size;
  }

  signal(): void {
    for (const listener of this.#listeners) listener();
  }
}
